// Queues against plain BullMQ in one interleaved run: adds, processing, and fairness between tenants. Started
// by hand, with a built library:
//   SWC_NODE_PROJECT=bench/tsconfig.json node --expose-gc --import @swc-node/register/esm-register bench/queue-figures.ts
// --rounds <n> (default 40 for adds, 25 for processing), --scale <share> (default 1), --only fairness|adds|processing.
//
// What a difference of a few microseconds needs: many short measurements instead of a few long ones. In each round
// every variant runs once, in turns, within a fraction of a second of the others, so that what the machine does meanwhile
// is about the same for all. The figure is the median over rounds of the difference within a round; beside it stands
// its standard error, and the floor against itself (A/A), which has to be about zero. Garbage is collected when it has to be: a
// collection before each measurement would throw away what the compiler knows and cost twice what is measured.
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { NestFactory } from '@nestjs/core';
import { Queue, Worker } from 'bullmq';
import { ConnectionRegistry, RedisModule } from '../dist/index.js';
import {
  defineQueue,
  OnJob,
  QueueModule,
  QueueProcessor,
  QueueService,
  type QueueContract,
} from '../dist/queue/index.js';
import { startNative } from '../test/support/servers.js';
import { ServerMeter } from './lib/server-meter.js';
import { percentile, spread } from './lib/statistics.js';

const { values: flags } = parseArgs({
  options: { rounds: { type: 'string' }, scale: { type: 'string' }, only: { type: 'string' } },
});
const ADD_ROUNDS = Number(flags.rounds ?? 40);
const PROCESSING_ROUNDS = Number(flags.rounds ?? 25);
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

/** CPU and time from the first job's start to the last one's. All workers live throughout; a paused queue is filled. */
async function processing(url: string, meter: ServerMeter): Promise<void> {
  const count = Math.ceil(2000 * SCALE);
  const runner = new Runner();
  const app = await start(url, 'both', runner);
  const queues = app.get(QueueService);
  const { prefix, defaultJobOptions } = queues.producer(Plain).raw.opts;
  const floor = app.get(ConnectionRegistry);
  const base = new Queue('bench__bases', {
    connection: floor.client('floor', 'producer'),
    prefix: prefix!.replace(Plain.name, 'bench__bases'),
    defaultJobOptions,
  });
  let tick = (): void => undefined;
  runner.work = () => tick();
  const worker = new Worker(base.name, async () => tick(), {
    connection: floor.client('floor', 'worker'),
    prefix: base.opts.prefix!,
    concurrency: 50,
    skipVersionCheck: true,
    removeOnComplete: { age: 86_400 },
    removeOnFail: { age: 604_800 },
  });
  for (const part of [base, worker]) part.on('error', () => undefined);
  const typed = (queue: QueueContract) => {
    const producer = queues.producer(queue);
    return { raw: producer.raw, add: (n: number) => producer.add('work', DATA, { tenantId: `t${n % 50}` }) };
  };
  const bases = {
    raw: base,
    add: (n: number) => {
      const data = { rednest: 1, tenantId: `t${n % 50}`, data: DATA };
      return base.add('work', data, { jobId: `${base.name}.${randomUUID()}` });
    },
  };
  const variants = [
    ['bullmq worker', bases],
    ['rednest worker', typed(Plain)],
    ['rednest worker, fair queue', typed(Fair)],
    ['bullmq worker (again)', bases],
  ] as const;
  const all = new Map(variants.map(([name]) => [name as string, figures()]));
  for (let round = -WARM_UP; round < PROCESSING_ROUNDS; round += 1) {
    for (let turn = 0; turn < variants.length; turn += 1) {
      const [name, { raw, add }] = variants[(round + WARM_UP + turn) % variants.length]!;
      await meter.clear();
      await raw.pause();
      await lanes(count, add);
      const watch = stopwatch(count);
      tick = watch.tick;
      await raw.resume();
      const sample = await watch.done;
      await drained(raw);
      if (round < 0) continue;
      const into = all.get(name)!;
      into.clientUs.push(sample.us / count);
      into.perSecond.push((count / sample.ms) * 1000);
    }
  }
  console.log(`\nProcessing, concurrency 50, no-op, ${count} per measurement, ${PROCESSING_ROUNDS} rounds`);
  for (const [name, { clientUs, perSecond }] of all) {
    console.log(
      `  ${name.padEnd(34)} client ${spread(clientUs).median} us   ${Math.round(spread(perSecond).median)}/s`,
    );
  }
  const [floorOf, ours, fair, again] = [...all.values()];
  console.log(
    `  rednest - bullmq:             client ${difference(ours!.clientUs, floorOf!.clientUs)} us per job`,
  );
  console.log(
    `  bullmq - bullmq (A/A):        client ${difference(again!.clientUs, floorOf!.clientUs)} us per job`,
  );
  console.log(`  fair / not fair:              jobs/s ${ratio(fair!.perSecond, ours!.perSecond)}`);
  await worker.close();
  await base.close();
  await app.close();
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
  for (const [name, section] of Object.entries({ fairness, adds, processing })) {
    if (flags.only === undefined || flags.only === name) await section(server.url, meter);
  }
} finally {
  meter.close();
  await server.stop();
}
