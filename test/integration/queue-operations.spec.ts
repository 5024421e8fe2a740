import { describe, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { randomUUID } from 'node:crypto';
import { ConnectionRegistry, REDIS, type RedisClient } from 'rednest';
import {
  DeadLetters,
  drain,
  OnDeadLetter,
  OnJob,
  QueueEventsService,
  QueueHealthService,
  QueueModule,
  QueueProcessor,
  QueueService,
  type DeadLetter,
  type JobContext,
  type QueueEvent,
  type QueueModuleOptions,
} from 'rednest/queue';
import { inject, type TestModuleInit } from '../support/app.js';
import { embeddedSuite } from '../support/embedded-suite.js';
import { eventually } from '../support/eventually.js';
import { failure } from '../support/failure.js';
import { queueDiagnostics } from '../support/queue-diagnostics.js';
import { deferred, Fair, Mail, QUIET, Upkeep } from '../support/queues.js';

const suite = embeddedSuite();

async function start(
  providers: NonNullable<TestModuleInit['providers']>,
  options: QueueModuleOptions = {},
  app?: string,
): Promise<TestingModule> {
  return suite.open({
    providers,
    redis: app === undefined ? {} : { app },
    imports: [QueueModule.forRoot({ ...QUIET, ...options }), QueueModule.forFeature([Mail, Upkeep, Fair])],
  });
}

const producers = (module: TestingModule) => inject(module, QueueService);

describe('a fair queue', () => {
  it('A10 serves a small tenant among the backlog of a large one, in order within each', async () => {
    const served: { tenantId: string; n: number }[] = [];
    @QueueProcessor(Fair)
    class Worker {
      @OnJob('work') work({ n }: { n: number }, { tenantId }: JobContext): void {
        served.push({ tenantId: tenantId!, n });
      }
    }
    const app = `fair${randomUUID().slice(0, 8)}`;
    const fair = producers(await start([], { role: 'producer' }, app)).producer(Fair);
    // As many at once as a loaded machine answers within the second that an add may take.
    const add = async (tenantId: string, count: number): Promise<void> => {
      for (let from = 0; from < count; from += 20) {
        const numbers = Array.from({ length: Math.min(20, count - from) }, (_, index) => from + index);
        await Promise.all(numbers.map((n) => fair.add('work', { n }, { tenantId })));
      }
    };
    await add('large', 200);
    await add('small', 10);

    const module = await start([Worker], {}, app);
    await drain(producers(module), Fair, 25_000);

    const lastSmall = served.findLastIndex(({ tenantId }) => tenantId === 'small');
    expect(served).toHaveLength(210);
    expect(lastSmall).toBeLessThanOrEqual(22);
    for (const tenant of ['large', 'small']) {
      const order = served.filter(({ tenantId }) => tenantId === tenant).map(({ n }) => n);
      expect(order).toEqual(order.toSorted((a, b) => a - b));
    }
  }, 40_000);

  it('serves tenants by their weights', async () => {
    const served: string[] = [];
    @QueueProcessor(Fair)
    class Worker {
      @OnJob('work') work(_data: unknown, { tenantId }: JobContext): void {
        served.push(tenantId!);
      }
    }
    const app = `fair${randomUUID().slice(0, 8)}`;
    const fair = producers(await start([], { role: 'producer' }, app)).producer(Fair);
    for (let n = 0; n < 40; n += 1) {
      await fair.add('work', { n }, { tenantId: 'heavy' });
      await fair.add('work', { n }, { tenantId: 'light' });
    }

    await drain(producers(await start([Worker], {}, app)), Fair, 25_000);

    const heavy = served.slice(0, 40).filter((tenant) => tenant === 'heavy').length;
    expect(heavy).toBeGreaterThanOrEqual(30);
    expect(heavy).toBeLessThanOrEqual(34);
  }, 40_000);

  it('adds once, gives no second tag to a repeated add, and forgets tenants when it is empty', async () => {
    @QueueProcessor(Fair)
    class Worker {
      @OnJob('work') work(): void {}
    }
    const app = `fair${randomUUID().slice(0, 8)}`;
    const module = await start([], { role: 'producer' }, app);
    const fair = producers(module).producer(Fair);
    const redis = inject<RedisClient>(module, REDIS);
    const jobId = fair.newJobId();

    await fair.add('work', { n: 1 }, { tenantId: 'a', jobId });
    const tag = await redis.hget(fair.raw.toKey(jobId), 'priority');
    await fair.add('work', { n: 1 }, { tenantId: 'a', jobId });
    const first = await fair.once('work', { n: 2 }, { tenantId: 'a', key: 'k' });
    const second = await fair.once('work', { n: 2 }, { tenantId: 'a', key: 'k' });

    expect(await redis.hget(fair.raw.toKey(jobId), 'priority')).toBe(tag);
    expect(second).toEqual({ jobId: first.jobId, deduplicated: true });
    expect(await fair.raw.getPrioritizedCount()).toBe(2);
    await drain(producers(await start([Worker], {}, app)), Fair);
    await fair.add('work', { n: 3 }, { tenantId: 'b' });
    expect((await redis.zrange(fair.raw.toKey('fair'), '0', '-1')).toSorted()).toEqual([
      't:b',
      'top',
      'virtual',
    ]);
  });

  it('falls back to first come, first served when tags run out, and says so', async () => {
    const app = `fair${randomUUID().slice(0, 8)}`;
    const module = await start([], { role: 'producer' }, app);
    const fair = producers(module).producer(Fair);
    const heard = queueDiagnostics('fairness-exhausted');
    await fair.add('work', { n: 0 }, { tenantId: 'a' });
    await inject<RedisClient>(module, REDIS).zadd(fair.raw.toKey('fair'), 1_900_000, 'virtual');

    const ids = [];
    for (let n = 1; n <= 3; n += 1) ids.push(await fair.add('work', { n }, { tenantId: 'a' }));

    const waiting = await fair.raw.getPrioritized();
    expect(waiting.map(({ id }) => id).slice(1)).toEqual(ids);
    expect(heard.list).toHaveLength(3);
    heard.end();
  });

  it('refuses a priority', async () => {
    const fair = producers(await start([], { role: 'producer' })).producer(Fair);

    expect(await failure(fair.add('work', { n: 1 }, { tenantId: 'a', priority: 1 }))).toMatchObject({
      code: 'ERR_CONFIGURATION',
    });
  });
});

describe('failed jobs', () => {
  let broken = true;
  @QueueProcessor(Mail, { concurrency: 5 })
  class Sometimes {
    readonly letters: DeadLetter[] = [];
    @OnJob('send-mail') sendMail({ to }: { to: string }): { id: string } {
      if (broken) throw new Error(`no route to ${to.length}`);
      return { id: to };
    }
    @OnJob('purge') purge(): void {
      if (broken) throw new Error('no purge');
    }
    @OnDeadLetter() dead(letter: DeadLetter): void {
      this.letters.push(letter);
    }
  }

  it('shows, puts back and discards dead jobs, tells the handler once each, and publishes every step', async () => {
    broken = true;
    const module = await start([Sometimes]);
    const mail = producers(module).producer(Mail);
    const dead = inject(module, DeadLetters);
    const heard = queueDiagnostics('peeked', 'replayed', 'discarded', 'dead');
    const ids = await Promise.all(
      ['a', 'b', 'c'].map((to) => mail.add('send-mail', { to }, { tenantId: to === 'c' ? 'other' : 'acme' })),
    );
    await mail.add('purge', { days: 1 }, { tenantId: 'acme' });
    await eventually('all dead', async () => (await mail.raw.getFailedCount()) === 4);
    await eventually('all told', () => inject(module, Sometimes).letters.length === 4);

    const shown = await dead.peek(Mail, { jobName: 'send-mail', tenantId: 'acme' });
    broken = false;
    const replayed = await dead.replay(Mail, { jobName: 'send-mail', tenantId: 'acme', rate: 100 });
    await drain(producers(module), Mail);
    const discarded = await dead.discard(Mail, { jobName: 'purge' });

    expect(shown.map(({ jobId }) => jobId).toSorted()).toEqual(ids.slice(0, 2).toSorted());
    expect(shown[0]).toMatchObject({ attemptsMade: 2, failedReason: 'no route to 1', tenantId: 'acme' });
    expect([replayed, discarded]).toEqual([2, 1]);
    expect(await mail.find(ids[0]!, 'acme')).toMatchObject({ state: 'completed', result: { id: 'a' } });
    expect(await dead.peek(Mail)).toMatchObject([{ jobId: ids[2], tenantId: 'other' }]);
    expect(heard.list.filter(({ event }) => event === 'dead')).toHaveLength(4);
    expect(heard.list.filter(({ event }) => event !== 'dead')).toMatchObject([
      { event: 'peeked', count: 2 },
      { event: 'replayed', count: 2 },
      { event: 'discarded', count: 1 },
      { event: 'peeked', count: 1 },
    ]);
    heard.end();
  });

  it('puts back what meets every condition of a filter, and nothing else', async () => {
    broken = true;
    const module = await start([Sometimes]);
    const mail = producers(module).producer(Mail);
    const ids: string[] = [];
    for (const [to, tenantId] of [
      ['a', 'acme'],
      ['bb', 'acme'],
      ['a', 'other'],
      ['a', 'acme'],
    ] as const) {
      ids.push(await mail.add('send-mail', { to }, { tenantId }));
    }
    await mail.add('purge', { days: 1 }, { tenantId: 'acme' });
    await eventually('all dead', async () => (await mail.raw.getFailedCount()) === 5);
    broken = false;

    const count = await inject(module, DeadLetters).replay(Mail, {
      jobIds: ids.slice(0, 3),
      jobName: 'send-mail',
      tenantId: 'acme',
      where: ({ failedReason }) => failedReason === 'no route to 1',
      rate: 1000,
    });
    await drain(producers(module), Mail);

    expect(count).toBe(1);
    expect((await mail.raw.getCompleted()).map(({ id }) => id)).toEqual([ids[0]]);
    expect(await mail.raw.getFailedCount()).toBe(4);
  });

  it('puts no more back per second than it is told, and stops when it is asked to', async () => {
    broken = true;
    const module = await start([Sometimes]);
    const mail = producers(module).producer(Mail);
    for (let n = 0; n < 6; n += 1) await mail.add('purge', { days: n }, { tenantId: 'acme' });
    await eventually('all dead', async () => (await mail.raw.getFailedCount()) === 6);
    broken = false;

    const startedMs = performance.now();
    const count = await inject(module, DeadLetters).replay(Mail, { rate: 40, limit: 5 });
    const elapsedMs = performance.now() - startedMs;
    const stopped = await inject(module, DeadLetters).replay(Mail, { signal: AbortSignal.abort() });

    expect([count, stopped]).toEqual([5, 0]);
    expect(elapsedMs).toBeGreaterThan(95);
  });

  it('R16 puts a job off whose error carries retryAfterMs, whatever error it is, and counts no attempt', async () => {
    const times: number[] = [];
    class LimitReached extends Error {
      readonly retryAfterMs = 150;
    }
    @QueueProcessor(Mail)
    class Limited {
      @OnJob('send-mail') sendMail(): { id: string } {
        times.push(performance.now());
        if (times.length < 4) throw new LimitReached('limit');
        return { id: 'sent' };
      }
      @OnJob('purge') purge(): void {}
    }
    const module = await start([Limited]);
    const heard = queueDiagnostics('postponed', 'failed');
    const mail = producers(module).producer(Mail);

    const jobId = await mail.add('send-mail', { to: 'a' }, { tenantId: 'acme' });

    const view = await eventually('completed', async () => {
      const found = await mail.find(jobId, 'acme');
      return found?.state === 'completed' && found;
    });
    // Three times put off, and two attempts are allowed.
    expect(view.attemptsMade).toBe(1);
    expect(heard.list).toMatchObject(
      [1, 2, 3].map(() => ({ event: 'postponed', jobId, elapsedMs: 150, tenantId: 'acme' })),
    );
    for (let index = 1; index < 4; index += 1) {
      expect(times[index]! - times[index - 1]!).toBeGreaterThanOrEqual(145);
      // Not rounded up to whole seconds.
      expect(times[index]! - times[index - 1]!).toBeLessThan(900);
    }
    heard.end();
  });
});

describe('retention', () => {
  it('A12 sweeps a queue on which nothing happens, once per fleet', async () => {
    @QueueProcessor(Mail)
    class Mixed {
      @OnJob('send-mail') sendMail(): { id: string } {
        return { id: 'x' };
      }
      @OnJob('purge') purge(): void {
        throw new Error('no');
      }
    }
    const app = `sweep${randomUUID().slice(0, 8)}`;
    const fleet = [];
    for (let process = 0; process < 3; process += 1) {
      fleet.push(await start([Mixed], { sweepInterval: '1s', keepCompleted: '1s', keepFailed: '2s' }, app));
    }
    const module = fleet[0]!;
    const heard = queueDiagnostics('swept');
    const mail = producers(module).producer(Mail);
    await mail.add('send-mail', { to: 'a' }, { tenantId: 'acme' });
    await mail.add('purge', { days: 1 }, { tenantId: 'acme' });
    await eventually('both ended', async () => {
      const { completed = 0, failed = 0 } = await mail.raw.getJobCounts('completed', 'failed');
      return completed === 1 && failed === 1;
    });

    await eventually(
      'both gone',
      async () => (await mail.raw.getJobCountByTypes('completed', 'failed')) === 0,
    );

    expect(heard.list.reduce((sum, { count = 0 }) => sum + count, 0)).toBe(2);
    expect(await mail.raw.getJobSchedulersCount()).toBe(1);
    // However many processes there are, there is one next sweep.
    await eventually('the next sweep waits', async () => (await mail.raw.getDelayedCount()) === 1);
    heard.end();
  });
});

describe('QueueEventsService', () => {
  it('hears every event of several queues from the moment it listens, without a connection of its own', async () => {
    @QueueProcessor(Mail, { concurrency: 5 })
    class Worker {
      @OnJob('send-mail') sendMail({ to }: { to: string }): { id: string } {
        return { id: to };
      }
      @OnJob('purge') purge(): void {}
    }
    const module = await start([Worker]);
    const registry = inject(module, ConnectionRegistry);
    const mail = producers(module).producer(Mail);
    await mail.add('purge', { days: 1 }, { tenantId: 'acme' });
    await drain(producers(module), Mail);
    const before = registry.snapshot().length;
    const heard: QueueEvent[] = [];
    const ends = await Promise.all(
      [Mail, Upkeep].map((queue) =>
        inject(module, QueueEventsService).listen(queue, (event) => heard.push(event)),
      ),
    );

    const ids = await Promise.all(
      Array.from({ length: 50 }, (_, n) => mail.add('send-mail', { to: `t${n}` }, { tenantId: 'acme' })),
    );
    await producers(module).producer(Upkeep).add('tick', 1);

    await eventually('all completed', () => heard.filter(({ event }) => event === 'completed').length === 50);
    await eventually('the other queue', () => heard.some(({ queue }) => queue === 'system__upkeep'));
    const done = heard.filter(({ event }) => event === 'completed');
    expect(new Set(done.map(({ jobId }) => jobId))).toEqual(new Set(ids));
    expect(JSON.parse(done[0]!.fields['returnvalue']!)).toMatchObject({
      id: expect.stringMatching(/^t\d+$/),
    });
    expect(registry.snapshot()).toHaveLength(before);
    ends.forEach((end) => end());
  });
});

describe('QueueHealthService', () => {
  it('tells what waits and for how long, what failed, and who works', async () => {
    const { promise: gate, resolve: release } = deferred();
    @QueueProcessor(Mail)
    class Slow {
      @OnJob('send-mail') async sendMail(): Promise<{ id: string }> {
        await gate;
        return { id: '' };
      }
      @OnJob('purge') purge(): void {
        throw new Error('no');
      }
    }
    const app = `health${randomUUID().slice(0, 8)}`;
    const module = await start([Slow], {}, app);
    const health = inject(module, QueueHealthService);
    const mail = producers(module).producer(Mail);
    const of = async (limits = {}) =>
      (await health.check(limits)).queues.find(({ queue }) => queue === 'mail__out');

    await mail.add('purge', { days: 1 }, { tenantId: 'a' });
    await eventually('failed', async () => (await mail.raw.getFailedCount()) === 1);
    for (let n = 0; n < 3; n += 1) await mail.add('send-mail', { to: 'x' }, { tenantId: 'a' });
    await eventually('one runs', async () => (await mail.raw.getActiveCount()) === 1);

    expect(await of()).toMatchObject({
      status: 'up',
      waiting: 2,
      active: 1,
      failed: 1,
      failedLast5Min: 1,
      workers: 1,
      paused: false,
      ready: true,
    });
    await eventually('waits a while', async () => ((await of())?.oldestWaitingMs ?? 0) > 20);
    expect(await of({ warnAfter: 1 })).toMatchObject({
      status: 'degraded',
      reason: expect.stringMatching(/waited/),
    });
    expect(await of({ warnAfter: 1, failAfter: 2 })).toMatchObject({ status: 'down' });
    await mail.raw.pause();
    expect(await of()).toMatchObject({ status: 'degraded', reason: 'the queue is paused', paused: true });
    expect((await health.check()).status).toBe('degraded');
    await mail.raw.resume();
    release();
    await drain(producers(module), Mail);
  });

  it('counts failures of the last five minutes only, and no worker that gave no sign of life in time', async () => {
    @QueueProcessor(Mail)
    class Failing {
      @OnJob('send-mail') sendMail(): { id: string } {
        throw new Error('no');
      }
      @OnJob('purge') purge(): void {
        throw new Error('no');
      }
    }
    const module = await start([Failing]);
    const redis = inject<RedisClient>(module, REDIS);
    const mail = producers(module).producer(Mail);
    const of = async () =>
      (await inject(module, QueueHealthService).check()).queues.find(({ queue }) => queue === 'mail__out');
    const ids = [];
    for (let n = 0; n < 2; n += 1) ids.push(await mail.add('purge', { days: n }, { tenantId: 'a' }));
    await eventually('both failed', async () => (await mail.raw.getFailedCount()) === 2);
    await eventually('the worker is seen', async () => (await of())?.workers === 1);

    // Four seconds on either side of the window: the clock is the server's.
    await redis.zadd(mail.raw.toKey('failed'), Date.now() - 304_000, ids[0]!);
    await redis.zadd(mail.raw.toKey('failed'), Date.now() - 296_000, ids[1]!);
    // What a killed process leaves behind, before and after its time.
    await redis.zadd(mail.raw.toKey('workers'), Date.now() - 1, 'host:1:killed-long-ago');
    await redis.zadd(mail.raw.toKey('workers'), Date.now() + 10_000, 'host:2:killed-just-now');

    expect(await of()).toMatchObject({ failed: 2, failedLast5Min: 1, workers: 2 });
  });

  it('sees a worker of another process go, and nobody at work', async () => {
    @QueueProcessor(Mail)
    class Worker {
      @OnJob('send-mail') sendMail(): { id: string } {
        return { id: '' };
      }
      @OnJob('purge') purge(): void {}
    }
    const app = `health${randomUUID().slice(0, 8)}`;
    const producer = await start([], { role: 'producer' }, app);
    const health = inject(producer, QueueHealthService);
    const workers = async () =>
      (await health.check()).queues.find(({ queue }) => queue === 'mail__out')?.workers;
    const worker = await start([Worker], { role: 'worker' }, app);
    await eventually('worker seen', async () => (await workers()) === 1);

    await suite.close(worker);

    expect(await workers()).toBe(0);
    await producers(producer).producer(Mail).add('purge', { days: 1 }, { tenantId: 'a' });
    expect((await health.check()).queues.find(({ queue }) => queue === 'mail__out')).toMatchObject({
      status: 'degraded',
      reason: 'jobs wait and no worker lives',
    });
  });
});
