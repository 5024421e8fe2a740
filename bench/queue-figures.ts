// Queues against plain BullMQ in one interleaved run: adds, processing, and fairness between tenants. Started
// by hand, with a built library:
//   SWC_NODE_PROJECT=bench/tsconfig.json node --expose-gc --import @swc-node/register/esm-register bench/queue-figures.ts
// --rounds <n> (default 40 for adds, 100 for processing), --scale <share> (default 1), --only hooks|wrapper|fairness|adds|processing.
//
// What a difference of a few microseconds needs: many short measurements instead of a few long ones. In each round
// every variant runs once, in turns, within a fraction of a second of the others, so that what the machine does meanwhile
// is about the same for all. The figure is the median over rounds of the difference within a round; beside it stands
// its standard error, and the floor against itself (A/A), which has to be about zero. Garbage is collected when it has to be: a
// collection before each measurement would throw away what the compiler knows and cost twice what is measured.
import { AsyncLocalStorage, createHook, type AsyncHook } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { NestFactory } from '@nestjs/core';
import { Queue, Worker, type Job } from 'bullmq';
import { Redis } from 'ioredis';
import { ConnectionRegistry, RedisModule, type RedisClient } from '../dist/index.js';
import {
  defineQueue,
  OnJob,
  QueueModule,
  QueueProcessor,
  QueueService,
  WorkerExplorer,
  type QueueContract,
} from '../dist/queue/index.js';
import { startNative } from '../test/support/servers.js';
import { ServerMeter } from './lib/server-meter.js';
import { percentile, spread } from './lib/statistics.js';

const { values: flags } = parseArgs({
  options: { rounds: { type: 'string' }, scale: { type: 'string' }, only: { type: 'string' } },
});
const ADD_ROUNDS = Number(flags.rounds ?? 40);
const PROCESSING_ROUNDS = Number(flags.rounds ?? 100);
const SCALE = Number(flags.scale ?? 1);
const LANES = 100;
/** Rounds that do not count: the compiler is at work. */
const WARM_UP = 3;
const DATA = { to: 'ada@example.org', template: 'welcome', locale: 'en', ids: [1, 2, 3] };

/** A schema that lets everything pass: what a check costs is the business of its library. */
const anything = {
  '~standard': { version: 1 as const, vendor: 'bench', validate: (value: unknown) => ({ value }) },
};
const jobs = { work: { data: anything, result: anything } };
const Plain = defineQueue('bench__plain', { jobs });
const Fair = defineQueue('bench__fair', { jobs, fair: true });

const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };
class Root {}

/** Runs jobs of both queues; what a job does is set from outside. */
class Runner {
  work: (tenantId: string | null, data: unknown) => unknown = () => undefined;
}
const descriptor: PropertyDescriptor = {
  value(this: Runner, data: unknown, context: { tenantId: string | null }) {
    return this.work(context.tenantId, data);
  },
};
Object.defineProperty(Runner.prototype, 'handle', descriptor);
OnJob('work')(Runner.prototype, 'handle', descriptor);
QueueProcessor([Plain, Fair] as never, { concurrency: 50 })(Runner as never);

async function start(url: string, role: 'producer' | 'worker' | 'both', runner?: Runner, concurrency = 50) {
  class Configured extends Runner {}
  QueueProcessor([Plain, Fair] as never, { concurrency })(Configured as never);
  const root = {
    module: Root,
    imports: [
      RedisModule.forRoot({ app: 'bench', env: {}, url, connections: { floor: { url } }, logger: silent }),
      QueueModule.forRoot({ role, sweepInterval: null }),
      QueueModule.forFeature([Plain, Fair]),
    ],
    providers: runner
      ? [
          {
            provide: Configured,
            useFactory: () => Object.setPrototypeOf(runner, Configured.prototype) as Runner,
          },
        ]
      : [],
  };
  return NestFactory.createApplicationContext(root, { logger: false });
}

async function lanes(count: number, run: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: LANES }, async () => {
      while (next < count) await run(next++);
    }),
  );
}

interface Figures {
  clientUs: number[];
  serverUs: number[];
  perSecond: number[];
  roundTrips: number[];
}
const figures = (): Figures => ({ clientUs: [], serverUs: [], perSecond: [], roundTrips: [] });

async function measured(into: Figures, meter: ServerMeter, count: number, work: () => Promise<void>) {
  const { result, counters } = await meter.during(async () => {
    const cpu = process.cpuUsage();
    const startedMs = performance.now();
    await work();
    const { user, system } = process.cpuUsage(cpu);
    return { ms: performance.now() - startedMs, us: user + system };
  });
  into.clientUs.push(result.us / count);
  into.serverUs.push(counters.cpuUs / count);
  into.perSecond.push((count / result.ms) * 1000);
  into.roundTrips.push(counters.reads / count);
}

function show(title: string, all: ReadonlyMap<string, Figures>): void {
  console.log(`\n${title}`);
  for (const [name, { clientUs, serverUs, perSecond, roundTrips }] of all) {
    const parts = [
      `client ${spread(clientUs).median} us`,
      `server ${spread(serverUs).median} us`,
      `${Math.round(spread(perSecond).median)}/s`,
      `reads ${spread(roundTrips).median}`,
    ];
    console.log(`  ${name.padEnd(34)} ${parts.join('   ')}`);
  }
}

/** Median over rounds of the difference within a round, and its standard error. */
function difference(a: readonly number[], b: readonly number[]): string {
  const { median, p25, p75 } = spread(a.map((value, index) => value - b[index]!));
  // For a bell curve, 1.349 standard deviations lie between the quartiles; a median errs 1.253 times a mean.
  const error = ((p75 - p25) / 1.349) * (1.253 / Math.sqrt(a.length));
  return `${median.toFixed(2)} (+-${error.toFixed(2)})`;
}
function ratio(a: readonly number[], b: readonly number[]): string {
  return spread(a.map((value, index) => value / b[index]!)).median.toFixed(3);
}

async function adds(url: string, meter: ServerMeter): Promise<void> {
  const app = await start(url, 'producer');
  const registry = app.get(ConnectionRegistry);
  const queues = app.get(QueueService);
  const typed = queues.producer(Plain);
  const fair = queues.producer(Fair);
  const { prefix, defaultJobOptions } = typed.raw.opts;
  const plain = new Queue('bench__bases', {
    connection: registry.client('floor', 'producer'),
    prefix,
    skipWaitingForReady: true,
    skipVersionCheck: true,
    skipMetasUpdate: true,
    defaultJobOptions,
  });
  plain.on('error', () => undefined);
  const own = () =>
    plain.add('work', { rednest: 1, tenantId: 'a', data: DATA }, { jobId: `bench__bases.${randomUUID()}` });
  const variants: [string, (index: number) => Promise<unknown>][] = [
    ['bullmq add', () => plain.add('work', DATA)],
    ['bullmq add, own id and envelope', own],
    ['typed add', (n) => typed.add('work', DATA, { tenantId: `t${n % 50}` })],
    ['fair add, 50 tenants', (n) => fair.add('work', DATA, { tenantId: `t${n % 50}` })],
    ['bullmq add (again)', () => plain.add('work', DATA)],
  ];
  const count = Math.ceil(2000 * SCALE);
  const all = new Map(variants.map(([name]) => [name, figures()]));
  for (let round = -WARM_UP; round < ADD_ROUNDS; round += 1) {
    for (let turn = 0; turn < variants.length; turn += 1) {
      const [name, run] = variants[(round + WARM_UP + turn) % variants.length]!;
      const into = round < 0 ? figures() : all.get(name)!;
      await measured(into, meter, count, () => lanes(count, run));
      await meter.clear();
    }
  }
  show(`Adds, ${LANES} in flight, ${count} per measurement, ${ADD_ROUNDS} rounds`, all);
  const [base, same, ours, shared, again] = [...all.values()];
  console.log(`  typed - bullmq:               client ${difference(ours!.clientUs, base!.clientUs)} us`);
  console.log(`  typed - own id and envelope:  client ${difference(ours!.clientUs, same!.clientUs)} us`);
  console.log(`  bullmq - bullmq (A/A):        client ${difference(again!.clientUs, base!.clientUs)} us`);
  console.log(
    `  fair / typed:                 adds/s ${ratio(shared!.perSecond, ours!.perSecond)}, server +${difference(shared!.serverUs, ours!.serverUs)} us`,
  );
  // One at a time: every read of the server is a round trip.
  for (const [name, run] of variants) {
    const serial = figures();
    await measured(serial, meter, 300, async () => {
      for (let index = 0; index < 300; index += 1) await run(index);
    });
    console.log(`  ${name.padEnd(34)} round trips ${spread(serial.roundTrips).median.toFixed(2)}`);
    await meter.clear();
  }
  await plain.close();
  await app.close();
}

/** A queue of BullMQ and how to fill it. */
interface Filled {
  readonly raw: Queue;
  fill(count: number): Promise<unknown>;
}

/** Jobs as Rednest stores them, whoever works on them: the same bytes, put in by the same hands. */
function filledPlainly(raw: Queue): Filled {
  const job = (n: number) => ({
    name: 'work',
    data: { rednest: 1, tenantId: `t${n % 50}`, data: DATA },
    opts: { jobId: `${raw.name}.${randomUUID()}` },
  });
  return { raw, fill: (count) => raw.addBulk(Array.from({ length: count }, (_job, n) => job(n))) };
}

/** A worker of BullMQ with the options that Rednest gives its own. */
function plainWorker(queue: Queue, connection: RedisClient, handler: () => unknown): Worker {
  const worker = new Worker(queue.name, async () => handler(), {
    connection,
    prefix: queue.opts.prefix!,
    concurrency: 50,
    drainDelay: 5,
    skipVersionCheck: true,
    runRetryDelay: 1000,
    removeOnComplete: { age: 86_400 },
    removeOnFail: { age: 604_800 },
  });
  worker.on('error', () => undefined);
  return worker;
}

/** CPU and time from the start of the first job to that of the last. All workers live throughout; a paused queue is filled. */
async function burst(
  meter: ServerMeter,
  { raw, fill }: Filled,
  count: number,
  set: (tick: () => void) => void,
  hook?: AsyncHook,
) {
  await meter.clear();
  await raw.pause();
  await fill(count);
  const watch = stopwatch(count);
  set(watch.tick);
  hook?.enable();
  await raw.resume();
  const { us, ms } = await watch.done;
  hook?.disable();
  await drained(raw);
  return { clientUs: us / count, perSecond: (count / ms) * 1000 };
}

/** Runs all variants once per round, each round in another order: what one leaves behind hits all the others alike. */
async function rounds(
  count: number,
  variants: ReadonlyMap<string, () => Promise<{ clientUs: number; perSecond: number }>>,
): Promise<Map<string, Figures>> {
  const all = new Map([...variants.keys()].map((name) => [name, figures()]));
  for (let round = -WARM_UP; round < count; round += 1) {
    for (const [name, run] of shuffled([...variants])) {
      const { clientUs, perSecond } = await run();
      if (round < 0) continue;
      all.get(name)!.clientUs.push(clientUs);
      all.get(name)!.perSecond.push(perSecond);
    }
  }
  for (const [name, { clientUs, perSecond }] of all) {
    console.log(
      `  ${name.padEnd(34)} client ${spread(clientUs).median} us   ${Math.round(spread(perSecond).median)}/s`,
    );
  }
  return all;
}

function shuffled<T>(items: T[]): T[] {
  for (let last = items.length - 1; last > 0; last -= 1) {
    const other = Math.floor(Math.random() * (last + 1));
    [items[last], items[other]] = [items[other]!, items[last]!];
  }
  return items;
}

/** Both kinds of workers in one process, on connections with the same options. */
async function workers(url: string) {
  const runner = new Runner();
  const app = await start(url, 'both', runner);
  const queues = app.get(QueueService);
  const { prefix, defaultJobOptions } = queues.producer(Plain).raw.opts;
  const registry = app.get(ConnectionRegistry);
  const base = new Queue('bench__bases', {
    connection: registry.client('floor', 'producer'),
    prefix: prefix!.replace(Plain.name, 'bench__bases'),
    defaultJobOptions,
  });
  base.on('error', () => undefined);
  let tick = (): void => undefined;
  const call = (): void => tick();
  const worker = plainWorker(base, registry.client('floor', 'worker'), call);
  const fair = queues.producer(Fair);
  return {
    app,
    worker,
    runner,
    set: (next: () => void): void => void (tick = next),
    handlers: { sync: call, async: async (): Promise<void> => tick() },
    plain: filledPlainly(base),
    ours: filledPlainly(queues.producer(Plain).raw),
    fair: {
      raw: fair.raw,
      fill: (count: number) => lanes(count, (n) => fair.add('work', DATA, { tenantId: `t${n % 50}` })),
    },
    async close(): Promise<void> {
      await worker.close();
      await base.close();
      await app.close();
    },
  };
}

async function processing(url: string, meter: ServerMeter): Promise<void> {
  const count = Math.ceil(1000 * SCALE);
  const { runner, handlers, plain, ours, fair, set, close } = await workers(url);
  const variant = (filled: Filled, handler: () => unknown) => () => {
    runner.work = handler;
    return burst(meter, filled, count, set);
  };
  console.log(`\nProcessing, concurrency 50, no-op, ${count} per measurement, ${PROCESSING_ROUNDS} rounds`);
  const all = await rounds(
    PROCESSING_ROUNDS,
    new Map([
      ['bullmq worker', variant(plain, handlers.sync)],
      ['rednest worker', variant(ours, handlers.sync)],
      ['rednest worker, async handler', variant(ours, handlers.async)],
      ['bullmq worker (again)', variant(plain, handlers.sync)],
    ]),
  );
  const [floor, sync, late, again] = [...all.values()].map(({ clientUs }) => clientUs);
  console.log(`  rednest - bullmq:             client ${difference(sync!, floor!)} us per job`);
  console.log(`  the same, async handler:      client ${difference(late!, floor!)} us per job`);
  console.log(`  bullmq - bullmq (A/A):        client ${difference(again!, floor!)} us per job`);
  console.log('\nProcessing by tenants');
  const lines = await rounds(
    Math.ceil(PROCESSING_ROUNDS / 4),
    new Map([
      ['rednest worker', variant(ours, handlers.sync)],
      ['rednest worker, fair queue', variant(fair, handlers.sync)],
    ]),
  );
  const [first, turns] = [...lines.values()];
  console.log(`  fair / not fair:              jobs/s ${ratio(turns!.perSecond, first!.perSecond)}`);
  await close();
}

/** What BullMQ calls for a job, and where it is kept. */
interface ProcessingWorker {
  processFn: (job: Job, token: string) => unknown;
}

/**
 * The wrapper looked at directly, in workers that work: the time from BullMQ's call to its return, handler included, and the
 * promises that come into being per job. A difference of a microsecond does not show in the CPU of a whole process that spends
 * a hundred times as much; here it does. What a promise costs later on is in the figures of `hooks`.
 */
async function wrapper(url: string, meter: ServerMeter): Promise<void> {
  const count = Math.ceil(1000 * SCALE);
  const { app, worker, runner, handlers, plain, ours, set, close } = await workers(url);
  const explorer = app.get(WorkerExplorer) as unknown as {
    workshop: { workers: Map<string, { raw: ProcessingWorker }> };
  };
  let times: number[] = [];
  for (const target of [worker, explorer.workshop.workers.get(Plain.name)!.raw]) {
    const parts = target as unknown as ProcessingWorker;
    const call = parts.processFn;
    parts.processFn = (job, token) => {
      const startedMs = performance.now();
      const answer = call(job, token);
      times.push((performance.now() - startedMs) * 1000);
      return answer;
    };
  }
  let promises = 0;
  const counting = createHook({ init: (_id, type) => void (promises += type === 'PROMISE' ? 1 : 0) });
  const variants = [
    ['bullmq worker', plain, handlers.sync],
    ['rednest worker', ours, handlers.sync],
    ['rednest worker, async handler', ours, handlers.async],
    ['bullmq worker (again)', plain, handlers.sync],
  ] as const;
  const all = new Map(variants.map(([name]) => [name as string, [] as number[]]));
  const made = new Map<string, number>();
  const total = Math.ceil(PROCESSING_ROUNDS / 2);
  for (let round = -WARM_UP; round < total; round += 1) {
    const isCounted = round === total - 1;
    for (const [name, filled, handler] of shuffled([...variants])) {
      runner.work = handler;
      times = [];
      promises = 0;
      await burst(meter, filled, count, set, isCounted ? counting : undefined);
      if (isCounted) made.set(name, promises / count);
      else if (round >= 0) all.get(name)!.push(spread(times).median);
    }
  }
  console.log(`\nThe wrapper alone, medians of ${count} jobs in ${total - 1} rounds`);
  for (const [name, medians] of all) {
    console.log(
      `  ${name.padEnd(34)} ${spread(medians).median} us per call   ${made.get(name)!.toFixed(1)} promises per job`,
    );
  }
  const [floor, sync, late, again] = [...all.values()];
  console.log(`  rednest - bullmq:             ${difference(sync!, floor!)} us per call`);
  console.log(`  the same, async handler:      ${difference(late!, floor!)} us per call`);
  console.log(`  bullmq - bullmq (A/A):        ${difference(again!, floor!)} us per call`);
  await close();
}

/**
 * What plain BullMQ pays per job once the process has an AsyncLocalStorage, as every process with Rednest's queues has: from
 * then on Node calls hooks for every promise. In a process of its own without one, BullMQ does not pay that.
 */
async function hooks(url: string, meter: ServerMeter): Promise<void> {
  const count = Math.ceil(1000 * SCALE);
  const [producer, consumer] = [new Redis(url), new Redis(url, { maxRetriesPerRequest: null })];
  for (const client of [producer, consumer]) client.on('error', () => undefined);
  const queue = new Queue('bench__bases', { connection: producer, prefix: '{bench}' });
  let tick = (): void => undefined;
  const worker = plainWorker(queue, consumer, () => tick());
  const filled = filledPlainly(queue);
  const storage = new AsyncLocalStorage<object>();
  const run = () => burst(meter, filled, count, (next) => (tick = next));
  const without = async () => {
    storage.disable();
    return run();
  };
  const within = async () => {
    storage.enterWith({});
    return run();
  };
  console.log(`\nPromise hooks, plain BullMQ, ${count} per measurement, ${PROCESSING_ROUNDS} rounds`);
  const all = await rounds(
    PROCESSING_ROUNDS,
    new Map([
      ['no AsyncLocalStorage', without],
      ['with one', within],
      ['no AsyncLocalStorage (again)', without],
    ]),
  );
  const [off, on, again] = [...all.values()].map(({ clientUs }) => clientUs);
  console.log(`  with one - without:           client ${difference(on!, off!)} us per job`);
  console.log(`  without - without (A/A):      client ${difference(again!, off!)} us per job`);
  await worker.close();
  await queue.close();
  for (const client of [producer, consumer]) client.disconnect();
}

async function drained(queue: Queue): Promise<void> {
  while ((await queue.getActiveCount()) > 0) await new Promise((resolve) => setTimeout(resolve, 5));
}

interface Interval {
  us: number;
  ms: number;
}

/** Counts jobs, and measures between the first and the last. */
function stopwatch(count: number): { tick: () => void; done: Promise<Interval> } {
  let seen = 0;
  let cpu = process.cpuUsage();
  let startedMs = 0;
  let finish = (_interval: Interval): void => undefined;
  const done = new Promise<Interval>((resolve) => (finish = resolve));
  const tick = (): void => {
    seen += 1;
    if (seen === 1) {
      cpu = process.cpuUsage();
      startedMs = performance.now();
    }
    if (seen < count) return;
    const { user, system } = process.cpuUsage(cpu);
    finish({ us: user + system, ms: performance.now() - startedMs });
  };
  return { tick, done };
}

/** 3000 jobs of one tenant, then 30 of another; 10 at a time, 5 ms each. Medians of three runs. */
async function fairness(url: string, meter: ServerMeter): Promise<void> {
  console.log('\nFairness: 3000 jobs of A, then 30 of B; concurrency 10, 5 ms per job; medians of 3 runs');
  const p99 = new Map<QueueContract, number[]>([
    [Plain, []],
    [Fair, []],
  ]);
  for (const [queue, tails] of p99) {
    const middles: number[] = [];
    let inversions = 0;
    for (let run = 0; run < 3; run += 1) {
      const result = await backlog(url, meter, queue);
      tails.push(percentile(result.waits, 0.99));
      middles.push(percentile(result.waits, 0.5));
      inversions += result.inversions;
    }
    console.log(
      `  ${(queue.fair ? 'fair' : 'first come').padEnd(12)} B waits p50 ${Math.round(spread(middles).median)} ms, ` +
        `p99 ${Math.round(spread(tails).median)} ms; inversions within a tenant: ${inversions}`,
    );
  }
  console.log(`  p99 of B, fair / first come: ${ratio(p99.get(Fair)!, p99.get(Plain)!)}`);
}

async function backlog(url: string, meter: ServerMeter, queue: QueueContract) {
  await meter.clear();
  const producer = await start(url, 'producer');
  const mine = producer.get(QueueService).producer(queue);
  for (const [tenantId, count] of [
    ['A', 3000],
    ['B', 30],
  ] as const) {
    for (let n = 0; n < count; n += 1) await mine.add('work', { n }, { tenantId });
  }
  const waits: number[] = [];
  const order = new Map<string, number[]>([
    ['A', []],
    ['B', []],
  ]);
  let startedMs = 0;
  let seen = 0;
  let finish = (): void => undefined;
  const done = new Promise<void>((resolve) => (finish = resolve));
  const runner = new Runner();
  runner.work = async (tenantId, data) => {
    startedMs ||= performance.now();
    order.get(tenantId!)!.push((data as { n: number }).n);
    if (tenantId === 'B') waits.push(performance.now() - startedMs);
    await new Promise((resolve) => setTimeout(resolve, 5));
    if ((seen += 1) === 3030) finish();
  };
  const worker = await start(url, 'worker', runner, 10);
  await done;
  await worker.close();
  await producer.close();
  const inversions = [...order.values()].reduce(
    (sum, ns) => sum + ns.filter((n, index) => index > 0 && n < ns[index - 1]!).length,
    0,
  );
  return { waits: Float64Array.from(waits).sort(), inversions };
}

const server = await startNative();
const meter = await ServerMeter.connect(server.url);
try {
  // The first of them before anything else uses an AsyncLocalStorage.
  for (const [name, section] of Object.entries({ hooks, wrapper, fairness, adds, processing })) {
    if (flags.only === undefined || flags.only === name) await section(server.url, meter);
  }
} finally {
  meter.close();
  await server.stop();
}
