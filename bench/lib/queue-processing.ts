// What a job costs its worker, with Rednest and with plain BullMQ.
import { AsyncLocalStorage, createHook, type AsyncHook } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import { Queue, Worker, type Job } from 'bullmq';
import { Redis } from 'ioredis';
import { ConnectionRegistry, type RedisClient } from '../../dist/index.js';
import { QueueService, WorkerExplorer } from '../../dist/queue/index.js';
import {
  DATA,
  difference,
  Fair,
  figures,
  lanes,
  Plain,
  ratio,
  Runner,
  start,
  WARM_UP,
  type Figures,
} from './queue-setup.js';
import type { ServerMeter } from './server-meter.js';
import { spread } from './statistics.js';

/** How much is measured. */
export interface Size {
  /** Jobs per measurement. */
  readonly count: number;
  readonly rounds: number;
}

/** A queue of BullMQ and how to fill it. */
interface Filled {
  readonly raw: Queue;
  readonly fill: (count: number) => Promise<unknown>;
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
    close: async (): Promise<void> => {
      await worker.close();
      await base.close();
      await app.close();
    },
  };
}

export async function processing(url: string, meter: ServerMeter, size: Size): Promise<void> {
  const { count, rounds: total } = size;
  const { runner, handlers, plain, ours, fair, set, close } = await workers(url);
  const variant = (filled: Filled, handler: () => unknown) => () => {
    runner.work = handler;
    return burst(meter, filled, count, set);
  };
  console.log(`\nProcessing, concurrency 50, no-op, ${count} per measurement, ${total} rounds`);
  const all = await rounds(
    total,
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
    Math.ceil(total / 4),
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
export async function wrapper(url: string, meter: ServerMeter, size: Size): Promise<void> {
  const { count, rounds: total } = size;
  const { app, worker, runner, handlers, plain, ours, set, close } = await workers(url);
  const explorer: unknown = app.get(WorkerExplorer);
  const { workshop } = explorer as { workshop: { workers: Map<string, { raw: ProcessingWorker }> } };
  let times: number[] = [];
  for (const target of [worker, workshop.workers.get(Plain.name)!.raw]) {
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
export async function hooks(url: string, meter: ServerMeter, size: Size): Promise<void> {
  const { count, rounds: total } = size;
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
  console.log(`\nPromise hooks, plain BullMQ, ${count} per measurement, ${total} rounds`);
  const all = await rounds(
    total,
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
