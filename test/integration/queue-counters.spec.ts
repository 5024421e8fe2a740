import { expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { Worker } from 'bullmq';
import { randomUUID } from 'node:crypto';
import { ConnectionRegistry, REDIS, type QueueDiagnostic, type RedisClient } from 'rednest';
import {
  DeadLetters,
  defineQueue,
  drain,
  flowNode,
  OnJob,
  QueueFlows,
  QueueModule,
  QueueProcessor,
  QueueService,
  type JobContext,
  type QueueModuleOptions,
  type QueueStats,
} from 'rednest/queue';
import { z } from 'zod';
import { inject, type TestModuleInit } from '../support/app.js';
import { embeddedSuite } from '../support/embedded-suite.js';
import { eventually } from '../support/eventually.js';
import { failure } from '../support/failure.js';
import { queueDiagnostics } from '../support/queue-diagnostics.js';
import { deferred, Fair, QUIET } from '../support/queues.js';

const Work = defineQueue('counted__work', {
  jobs: {
    run: { data: z.object({ end: z.enum(['well', 'badly', 'later']) }) },
  },
  attempts: 2,
  backoff: 1,
  retention: { completed: '1s', failed: '1m' },
});

const suite = embeddedSuite();

async function start(
  providers: NonNullable<TestModuleInit['providers']>,
  options: QueueModuleOptions = {},
  app = `count${randomUUID().slice(0, 8)}`,
): Promise<TestingModule> {
  return suite.open({
    providers,
    redis: { app },
    imports: [QueueModule.forRoot({ ...QUIET, ...options }), QueueModule.forFeature([Work, Fair])],
  });
}

const countsOf = (module: TestingModule, queue: string = Work.name): QueueStats['counts'] =>
  inject(module, QueueService)
    .stats()
    .find((stats) => stats.queue === queue)!.counts;

/** Those that are not 0. */
const happened = (counts: QueueStats['counts']): Partial<QueueStats['counts']> =>
  Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));

@QueueProcessor(Work, { stalledInterval: '1s' })
class Worked {
  private postponed = false;
  @OnJob('run') run({ end }: { end: string }): void {
    if (end === 'badly') throw new Error('no');
    if (end === 'well' || this.postponed) return;
    this.postponed = true;
    throw Object.assign(new Error('a limit'), { retryAfterMs: 20 });
  }
}

const run = (end: 'well' | 'badly' | 'later') => ({ end });
const acme = { tenantId: 'acme' };

it('counts what happens in a queue whether anybody listens or not, and starts at 0', async () => {
  const module = await start([Worked]);
  const queues = inject(module, QueueService);
  const work = queues.producer(Work);
  const before = queues.stats();

  await work.add('run', run('well'), acme);
  await work.add('run', run('badly'), acme);
  await work.add('run', run('later'), acme);
  const once = { ...acme, key: 'k', ttl: '1s' } as const;
  for (let n = 0; n < 3; n += 1) await work.once('run', run('well'), once);
  for (let n = 0; n < 2; n += 1) {
    await queues.notifyOnce(Work, 'run', run('well'), { ...acme, type: 't', dedupeKey: 'k', ttl: '1s' });
  }
  await inject(module, QueueFlows).add(
    flowNode(Work, 'run', run('well'), acme, [flowNode(Work, 'run', run('well'), acme)]),
  );
  await drain(queues, Work);
  await eventually('the last end is counted', () => countsOf(module).completed === 6);

  expect(before.map(({ queue }) => queue).toSorted()).toEqual([Work.name, Fair.name].toSorted());
  for (const { counts } of before) expect(happened(counts)).toEqual({});
  const { drained, ...counts } = happened(countsOf(module));
  expect(counts).toEqual({
    // 3, then one by once, one by notifyOnce, and two of a flow.
    added: 7,
    deduplicated: 3,
    // The dead one has two attempts, the one put off comes back.
    started: 9,
    completed: 6,
    failed: 2,
    dead: 1,
    postponed: 1,
  });
  expect(drained).toBeGreaterThanOrEqual(1);
  expect(happened(countsOf(module, Fair.name))).toEqual({});
  // What is handed out is not what is counted in.
  (queues.stats()[0]!.counts as Record<string, number>)['added'] = 1000;
  expect(countsOf(module).added).toBeLessThan(10);
});

it('publishes every event with the count so far', async () => {
  const kinds = Object.keys(countsOf(await start([], { role: 'producer' }))) as QueueDiagnostic['event'][];
  const listening = queueDiagnostics(...kinds);
  const app = `count${randomUUID().slice(0, 8)}`;
  const producing = await start([], { role: 'producer' }, app);
  const queues = inject(producing, QueueService);
  const work = queues.producer(Work);
  const letters = inject(producing, DeadLetters);

  const lost = await work.add('run', run('well'), acme);
  await abandon(producing, lost);
  for (const end of ['well', 'badly', 'later'] as const) await work.add('run', run(end), acme);
  await work.once('run', run('badly'), { ...acme, key: 'k', ttl: '1s', onFinalFailure: 'release' });
  await work.once('run', run('badly'), { ...acme, key: 'k', ttl: '1s', onFinalFailure: 'release' });
  const working = await start([Worked], {}, app);
  await eventually(
    'the lost job is done',
    async () => (await work.find(lost, 'acme'))?.state === 'completed',
  );
  await eventually('all ended', () => countsOf(working).dead === 2 && countsOf(working).completed === 3);
  await eventually('the key is given back', () => countsOf(working).released === 1);
  await letters.peek(Work);
  await letters.replay(Work, { limit: 1 });
  await eventually('dead again', () => countsOf(working).dead === 3);
  await letters.discard(Work);
  const fair = queues.producer(Fair);
  await fair.add('work', { n: 0 }, acme);
  await inject<RedisClient>(producing, REDIS).zadd(fair.raw.toKey('fair'), 1_900_000, 'virtual');
  await fair.add('work', { n: 1 }, acme);
  listening.end();

  const heard = new Map(kinds.map((kind) => [kind, listening.list.filter(({ event }) => event === kind)]));
  const mine = [...countsIn(producing), ...countsIn(working)];
  for (const [event, total] of sums(mine)) {
    expect([event, heard.get(event)!.reduce((sum, { count = 1 }) => sum + count, 0)]).toEqual([event, total]);
  }
  expect(sums(mine).get('stalled')).toBe(1);
  // Everything but a failed add and a sweep, which have tests of their own.
  expect(kinds.filter((event) => heard.get(event)!.length === 0)).toEqual(['add-failed', 'swept']);
  const started = heard.get('started')!.filter(({ queue }) => queue === Work.name);
  expect(started.map(({ total }) => total)).toEqual(started.map((_message, index) => index + 1));
  expect(heard.get('discarded')).toMatchObject([{ count: 2, total: 2 }]);
  expect(heard.get('added')![0]).toMatchObject({
    queue: Work.name,
    jobName: 'run',
    jobId: lost,
    tenantId: 'acme',
  });
});

it('says that a queue is drained when a worker that had jobs gets no more, not at its start', async () => {
  const gate = deferred();
  const running: string[] = [];
  @QueueProcessor(Work, { concurrency: 2 })
  class Slow {
    @OnJob('run') async run(_data: unknown, { job }: JobContext): Promise<void> {
      running.push(job.id!);
      await gate.promise;
    }
  }
  const heard = queueDiagnostics('drained');
  const module = await start([Slow]);
  const work = inject(module, QueueService).producer(Work);
  const marker = () => inject<RedisClient>(module, REDIS).exists(work.raw.toKey('marker'));
  await eventually('the worker waits for jobs', async () => (await marker()) === 0);

  for (let n = 0; n < 4; n += 1) await work.add('run', run('well'), acme);
  await eventually('two run', () => running.length === 2);
  const whileTwoWait = heard.list.length;
  gate.resolve();
  await eventually('all ended', async () => (await work.raw.getCompletedCount()) === 4);
  await eventually('it is told', () => heard.list.length > 0);

  expect(whileTwoWait).toBe(0);
  expect(heard.list).toEqual([{ event: 'drained', queue: Work.name, total: 1 }]);
  heard.end();
});

it('counts jobs that were swept, and adds that Redis did not take, those of flows included', async () => {
  const module = await start([Worked], { sweepInterval: '1s' });
  const work = inject(module, QueueService).producer(Work);
  const redis = inject<RedisClient>(module, REDIS);
  await work.add('run', run('well'), acme);
  await eventually('it is swept', () => countsOf(module).swept === 1);

  await redis.config('SET', 'maxmemory', '1');
  try {
    expect(await failure(work.add('run', run('well'), acme))).toMatchObject({ outcome: 'refused' });
    const child = flowNode(Work, 'run', run('well'), acme);
    const flow = flowNode(Work, 'run', run('well'), acme, [child]);
    expect(await failure(inject(module, QueueFlows).add(flow))).toMatchObject({ outcome: 'refused' });
  } finally {
    await redis.config('SET', 'maxmemory', '0');
  }

  const { added, started, completed, swept, 'add-failed': failed } = countsOf(module);
  expect({ added, started, completed, swept, failed }).toEqual({
    added: 1,
    started: 1,
    completed: 1,
    swept: 1,
    failed: 3,
  });
});

/** Takes a job like a worker that dies at once. */
async function abandon(module: TestingModule, jobId: string): Promise<void> {
  const { raw } = inject(module, QueueService).producer(Work);
  const connection = inject(module, ConnectionRegistry).client('default', 'worker');
  const worker = new Worker(raw.name, null, { connection, prefix: raw.opts.prefix!, lockDuration: 100 });
  worker.on('error', () => undefined);
  const job = await worker.getNextJob('somebody');
  await worker.close();
  expect(job?.id).toBe(jobId);
}

const countsIn = (module: TestingModule) =>
  inject(module, QueueService)
    .stats()
    .map(({ counts }) => counts);

function sums(all: readonly QueueStats['counts'][]): Map<QueueDiagnostic['event'], number> {
  const total = new Map<QueueDiagnostic['event'], number>();
  for (const counts of all) {
    for (const [event, count] of Object.entries(counts) as [QueueDiagnostic['event'], number][]) {
      total.set(event, (total.get(event) ?? 0) + count);
    }
  }
  return total;
}
