import { describe, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { randomUUID } from 'node:crypto';
import { ConfigurationError } from 'rednest';
import {
  defineQueue,
  drain,
  flowNode,
  OnJob,
  QueueFlows,
  QueueModule,
  QueueProcessor,
  QueueService,
  Schedule,
  type JobContext,
} from 'rednest/queue';
import { z } from 'zod';
import { inject, type TestModuleInit } from '../support/app.js';
import { embeddedSuite } from '../support/embedded-suite.js';
import { eventually } from '../support/eventually.js';
import { failure } from '../support/failure.js';
import { QUIET } from '../support/queues.js';

const Turns = defineQueue('fair__turns', {
  fair: true,
  jobs: { work: { data: z.object({ n: z.number() }) } },
});

const suite = embeddedSuite();

async function start(
  app: string,
  role: 'producer' | 'worker',
  providers: NonNullable<TestModuleInit['providers']> = [],
): Promise<TestingModule> {
  return suite.open({
    providers,
    redis: { app },
    imports: [QueueModule.forRoot({ ...QUIET, role }), QueueModule.forFeature([Turns])],
  });
}

const name = () => `turn${randomUUID().slice(0, 8)}`;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Time of a job, in milliseconds. */
const WORK_MS = 5;

/** Jobs of A, all of which come into the line at one time. */
const MANY = 150;

/** Jobs of B, added when those of A have come. */
const FEW = 10;

/** A processor that notes the tenants in the order of their jobs; A's jobs are put off once, where wanted. */
function recorder(putOffMs?: number) {
  const order: string[] = [];
  const seen = new Set<string>();
  @QueueProcessor(Turns)
  class Recorder {
    @OnJob('work')
    async work({ n }: { n: number }, { tenantId, job }: JobContext): Promise<void> {
      if (tenantId === 'A' && putOffMs !== undefined && !seen.has(job.id!)) {
        seen.add(job.id!);
        throw Object.assign(new Error('later'), { retryAfterMs: putOffMs });
      }
      await pause(WORK_MS);
      order.push(`${tenantId}${n}`);
    }
  }
  return { Recorder, order, putOff: seen };
}

/** How many jobs of A ran between the first and the last job of B. */
function betweenB(order: readonly string[]): number {
  const positions = order.flatMap((job, index) => (job.startsWith('B') ? [index] : []));
  return positions.at(-1)! - positions[0]! + 1 - positions.length;
}

function inOrder(order: readonly string[], tenant: string): boolean {
  const numbers = order.filter((job) => job.startsWith(tenant)).map((job) => Number(job.slice(1)));
  return numbers.every((number, index) => index === 0 || number > numbers[index - 1]!);
}

describe('a fair queue gives a turn to jobs that come into the line later', () => {
  it('delayed jobs that are due at one time do not run over another tenant', async () => {
    const app = name();
    const turns = inject(await start(app, 'producer'), QueueService).producer(Turns);
    const dueMs = Date.now() + 1500;
    for (let n = 0; n < MANY; n += 1) {
      await turns.add('work', { n }, { tenantId: 'A', delay: Math.max(1, dueMs - Date.now()) });
    }
    expect(await turns.raw.getDelayedCount()).toBe(MANY);
    const { Recorder, order } = recorder();
    const module = await start(app, 'worker', [Recorder]);

    await eventually('those of A are running', () => order.length > 5);
    const before = order.length;
    for (let n = 0; n < FEW; n += 1) await turns.add('work', { n }, { tenantId: 'B' });
    await drain(inject(module, QueueService), Turns, 25_000);

    const firstB = order.findIndex((job) => job.startsWith('B'));
    process.stderr.write(
      `turns: B joined after ${before} of ${MANY} jobs of A, began after ${firstB}, and had ${betweenB(order)} of A between its ${FEW}\n`,
    );
    expect(order).toHaveLength(MANY + FEW);
    expect(betweenB(order)).toBeLessThanOrEqual(2 * FEW);
    expect(firstB).toBeLessThan(MANY / 2);
    expect(inOrder(order, 'B')).toBe(true);
    expect(Date.now()).toBeGreaterThanOrEqual(dueMs);
  });

  it('nor do jobs that were put off by a limit and come back at one time', async () => {
    const app = name();
    const turns = inject(await start(app, 'producer'), QueueService).producer(Turns);
    for (let n = 0; n < MANY; n += 1) await turns.add('work', { n }, { tenantId: 'A' });
    const { Recorder, order, putOff } = recorder(1500);
    const module = await start(app, 'worker', [Recorder]);

    await eventually('all of A were put off', () => putOff.size === MANY);
    await eventually('and are back', () => order.length > 0);
    for (let n = 0; n < FEW; n += 1) await turns.add('work', { n }, { tenantId: 'B' });
    await eventually('all have run', () => order.length === MANY + FEW, 25_000);
    await drain(inject(module, QueueService), Turns);

    expect(betweenB(order)).toBeLessThanOrEqual(2 * FEW);
    const job = (await turns.raw.getJobs(['completed'])).find(({ data }) => data.tenantId === 'A');
    expect(job).toMatchObject({ attemptsMade: 1 });
  });

  it('jobs of one tenant with one delay keep their order', async () => {
    const app = name();
    const turns = inject(await start(app, 'producer'), QueueService).producer(Turns);
    for (let n = 0; n < 60; n += 1) await turns.add('work', { n }, { tenantId: 'A', delay: 300 });
    const { Recorder, order } = recorder();
    const module = await start(app, 'worker', [Recorder]);

    await eventually('all have run', () => order.length === 60);
    await drain(inject(module, QueueService), Turns);

    expect(order).toEqual(Array.from({ length: 60 }, (_, n) => `A${n}`));
  });

  it('a flow: the parent of each tenant runs after its children', async () => {
    const app = name();
    const producer = await start(app, 'producer');
    const flows = inject(producer, QueueFlows);
    for (const tenantId of ['A', 'B']) {
      const children = [1, 2, 3].map((n) => flowNode(Turns, 'work', { n }, { tenantId }));
      await flows.add(flowNode(Turns, 'work', { n: 9 }, { tenantId }, children));
    }
    const { Recorder, order } = recorder();

    await drain(inject(await start(app, 'worker', [Recorder]), QueueService), Turns);

    expect(order.toSorted()).toEqual(['A1', 'A2', 'A3', 'A9', 'B1', 'B2', 'B3', 'B9']);
    for (const tenant of ['A', 'B']) {
      expect(order.filter((job) => job.startsWith(tenant)).at(-1)).toBe(`${tenant}9`);
    }
  });

  it('a schedule: each run belongs to its tenant', async () => {
    const runs: (string | null)[] = [];
    @QueueProcessor(Turns)
    class Planned {
      @OnJob('work')
      @Schedule({ every: '1s', data: { n: 1 }, tenantId: 'A' })
      work(_data: { n: number }, { tenantId }: JobContext): void {
        runs.push(tenantId);
      }
    }

    await start(name(), 'worker', [Planned]);
    await eventually('it ran twice', () => runs.length >= 2);

    expect(new Set(runs)).toEqual(new Set(['A']));
  });

  it('refuses what would decide the order instead', async () => {
    const turns = inject(await start(name(), 'producer'), QueueService).producer(Turns);

    for (const option of [{ priority: 1 }, { lifo: true }]) {
      const refused = await failure(turns.add('work', { n: 1 }, { tenantId: 'A', ...option }));
      expect(refused).toBeInstanceOf(ConfigurationError);
      expect(String(refused)).toMatch(/is fair and takes no (priority|lifo); drop it/);
    }
    expect(await turns.raw.getJobCounts('wait', 'prioritized', 'delayed')).toEqual({
      wait: 0,
      prioritized: 0,
      delayed: 0,
    });
  });
});
