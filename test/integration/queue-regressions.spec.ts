import { describe, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { randomUUID } from 'node:crypto';
import { REDIS, type RedisClient } from 'rednest';
import {
  DeadLetters,
  defineQueue,
  getQueueProducerToken,
  JobValidationError,
  OnJob,
  QueueEventsService,
  QueueHealthService,
  QueueModule,
  QueueProcessor,
  QueueService,
  Schedule,
  type JobContext,
  type QueueProducer,
} from 'rednest/queue';
import { z } from 'zod';
import { inject, type TestModuleInit } from '../support/app.js';
import { embeddedSuite } from '../support/embedded-suite.js';
import { eventually } from '../support/eventually.js';
import { failure } from '../support/failure.js';
import { Fair, QUIET } from '../support/queues.js';

const jobs = { work: { data: z.object({ n: z.number() }) } };
const Plain = defineQueue('plain__work', { tenant: false, jobs, attempts: 1 });
const Owned = defineQueue('owned__work', { jobs, attempts: 1, retention: { completed: '2d', failed: '2d' } });
const Short = defineQueue('short__work', { jobs, retention: { completed: '1s', failed: '1s' } });
const Dates = defineQueue('dates__work', {
  tenant: false,
  jobs: { work: { data: z.object({ at: z.date() }) }, lenient: { data: z.object({ at: z.coerce.date() }) } },
});

const suite = embeddedSuite();

type Features = Parameters<typeof QueueModule.forFeature>[0];

async function start(
  providers: NonNullable<TestModuleInit['providers']> = [],
  features: readonly Features[] = [[Plain, Owned, Short, Dates, Fair, 'raw__work']],
): Promise<TestingModule> {
  return suite.open({
    providers,
    redis: { app: `past${randomUUID().slice(0, 8)}` },
    imports: [QueueModule.forRoot(QUIET), ...features.map((queues) => QueueModule.forFeature(queues))],
  });
}

const queues = (module: TestingModule) => inject(module, QueueService);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

@QueueProcessor(Plain)
class Failing {
  @OnJob('work') work(): void {
    throw new Error('no');
  }
}

/** A queue whose one job failed for good; nobody works on it any more. */
async function withDeadJob(): Promise<{
  module: TestingModule;
  plain: QueueProducer<typeof Plain>;
  id: string;
}> {
  const module = await start([Failing]);
  const plain = queues(module).producer(Plain);
  const id = await plain.add('work', { n: 1 });
  await eventually('failed', async () => (await plain.raw.getJobState(id)) === 'failed');
  await plain.raw.pause();
  return { module, plain, id };
}

describe('a fair queue', () => {
  it('refuses weights that would use up all turns', async () => {
    const Heavy = defineQueue('heavy__work', { jobs, fair: { weight: () => 0.000_001 } });
    const heavy = queues(await start([], [[Heavy]])).producer(Heavy);

    expect(String(await failure(heavy.add('work', { n: 1 }, { tenantId: 'a' })))).toMatch(/0.01 to 100/);
  });

  it('forgets tenants whose turns are over while others wait', async () => {
    const module = await start();
    const fair = queues(module).producer(Fair);
    const redis = inject<RedisClient>(module, REDIS);
    for (const tenantId of ['a', 'b', 'c']) await fair.add('work', { n: 1 }, { tenantId });
    for (let n = 0; n < 4; n += 1) await fair.add('work', { n }, { tenantId: 'late' });
    for (const job of (await fair.raw.getPrioritized()).slice(0, 5)) await job.remove();

    await fair.add('work', { n: 9 }, { tenantId: 'z' });

    const members = await redis.zrange(fair.raw.toKey('fair'), '0', '-1');
    expect(members.filter((member) => member.startsWith('t:')).toSorted()).toEqual(['t:late', 't:z']);
  });
});

describe('health', () => {
  const limits = { warnAfter: 400, failAfter: 800 };
  const plainOf = async (module: TestingModule) =>
    (await inject(module, QueueHealthService).check(limits)).queues.find(
      ({ queue }) => queue === Plain.name,
    )!;

  it('counts the wait of a delayed job from its due time', async () => {
    const module = await start();
    const plain = queues(module).producer(Plain);
    const id = await plain.add('work', { n: 1 }, { delay: 1000 });
    await pause(1000);
    await (await plain.raw.getJob(id))!.promote();

    expect((await plainOf(module)).oldestWaitingMs).toBeLessThan(500);
  });

  it('counts the wait of a dead job from when it was put back, and clears its stalls', async () => {
    const { module, plain, id } = await withDeadJob();
    const redis = inject<RedisClient>(module, REDIS);
    await redis.hset(plain.raw.toKey(id), { timestamp: Date.now() - 60_000, stc: 2 });

    expect(await inject(module, DeadLetters).replay(Plain)).toBe(1);

    expect((await plainOf(module)).oldestWaitingMs).toBeLessThan(5000);
    expect(await redis.hget(plain.raw.toKey(id), 'stc')).toBeNull();
  });

  it('sees a job of low priority starve', async () => {
    const module = await start();
    const plain = queues(module).producer(Plain);
    await plain.add('work', { n: 1 }, { priority: 100 });
    await pause(900);
    await plain.add('work', { n: 2 }, { priority: 1 });

    expect(await plainOf(module)).toMatchObject({ status: 'down' });
  });
});

describe('dead letters', () => {
  it('are not discarded when somebody puts them back meanwhile', async () => {
    const { module, plain, id } = await withDeadJob();
    const dead = inject(module, DeadLetters);
    const job = (await plain.raw.getJob(id))!;
    let putBack: Promise<void> | undefined;

    const count = await dead.discard(Plain, {
      // Sent before the removal, on the same connection.
      where: () => {
        putBack = job.retry('failed');
        return true;
      },
    });

    await putBack;
    expect(count).toBe(0);
    expect(await plain.raw.getJob(id)).toBeDefined();
    expect(await plain.raw.getFailedCount()).toBe(0);
  });
});

describe('once', () => {
  const identity = { tenantId: 't', type: 'x' };

  it('notifyOnce refuses a window longer than ended jobs are kept', async () => {
    const call = queues(await start()).notifyOnce(Short, 'work', { n: 1 }, { ...identity, dedupeKey: 'k' });

    expect(String(await failure(call))).toMatch(/ttl may be at most as long as the queue keeps/);
  });

  it('the caller that made the claim decides about its release, not the one that finishes it', async () => {
    const module = await start();
    const service = queues(module);
    const redis = inject<RedisClient>(module, REDIS);
    const owned = service.producer(Owned);
    const options = { ...identity, dedupeKey: 'k' };
    const first = await service.notifyOnce(
      Owned,
      'work',
      { n: 1 },
      { ...options, onFinalFailure: 'release' },
    );
    // As if the first caller had died between its claim and its add.
    const { claim } = (await owned.raw.getJob(first.jobId))!.data as { claim: string };
    await redis.hset(claim, { state: 'claimed', data: '{"n":1}' });
    await owned.raw.remove(first.jobId);

    const second = await service.notifyOnce(Owned, 'work', { n: 1 }, options);

    expect(second).toEqual({ jobId: first.jobId, deduplicated: true });
    expect((await owned.raw.getJob(first.jobId))!.data).toMatchObject({ claim });
  });

  it('tells tenant "-" from no tenant', async () => {
    const raw = queues(await start()).producer('raw__work');
    const nobody = await raw.once('work', { n: 1 }, { key: 'k', tenantId: null });

    expect((await raw.once('work', { n: 1 }, { key: 'k', tenantId: '-' })).jobId).not.toBe(nobody.jobId);
  });
});

describe('contracts', () => {
  it('hold for a registration by name that came first', async () => {
    const module = await start([], [['owned__work'], [Owned]]);
    const injected = module.get<QueueProducer>(getQueueProducerToken('owned__work'), { strict: false });

    expect(injected.contract).toBe(Owned);
    expect(await failure(injected.add('work', { n: 'no' }, { tenantId: 't' }))).toBeInstanceOf(
      JobValidationError,
    );
  });

  it('refuse a payload that would not pass when it is read back, before anything is sent', async () => {
    const module = await start();
    const dates = queues(module).producer(Dates);
    const at = new Date();

    expect(await failure(dates.add('work', { at }))).toMatchObject({
      code: 'ERR_JOB_INVALID',
      fields: ['at'],
    });
    expect(await dates.add('lenient', { at })).toBeDefined();
    const raw = queues(module).producer('raw__work');
    const circle: { self?: unknown } = {};
    circle.self = circle;
    for (const data of [{ v: 1n }, circle]) {
      expect(await failure(raw.add('work', data))).toMatchObject({ code: 'ERR_JOB_INVALID' });
    }
  });

  it('do not boot with handlers that are swapped', async () => {
    const Two = defineQueue('two__work', {
      tenant: false,
      jobs: { render: { data: z.unknown() }, 'clean-up': { data: z.unknown() } },
    });
    @QueueProcessor(Two)
    class Swapped {
      @OnJob('clean-up') render(): void {}
      @OnJob('render') cleanUp(): void {}
    }

    await expect(start([Swapped], [[Two]])).rejects.toThrow(/render is named like job "render"/);
  });

  it('do not boot with a schedule whose payload does not match, or whose pattern is none', async () => {
    @QueueProcessor(Plain)
    class Planned {
      @OnJob('work') @Schedule({ every: '1h', data: { n: 'no' } }) work(): void {}
    }

    await expect(start([Planned])).rejects.toThrow(/schedule of job "work" cannot run/);
    expect(() => Schedule({ cron: 'every day at three o' })).toThrow(/no cron pattern/);
    expect(() => Schedule({ cron: '0 3 * * *', tz: 'Europe/Nowhere' })).toThrow(/no cron pattern/);
  });
});

describe('a handler', () => {
  it('that adds an invalid job of its own kind fails like any other, with its attempts', async () => {
    const Own = defineQueue('own__work', { tenant: false, jobs, attempts: 3, backoff: 1 });
    let runs = 0;
    @QueueProcessor(Own)
    class Adding {
      constructor(private readonly service: QueueService) {}
      @OnJob('work') async work(): Promise<void> {
        runs += 1;
        await this.service.producer(Own).add('work', { n: 'no' as unknown as number });
      }
    }
    const own = queues(await start([Adding], [[Own]])).producer(Own);
    const id = await own.add('work', { n: 1 });

    await eventually('failed', async () => (await own.raw.getJobState(id)) === 'failed');
    expect(runs).toBe(3);
  });

  it('does not take the tenant from what a foreign add calls one', async () => {
    let seen: unknown;
    @QueueProcessor('raw__work')
    class Raw {
      @OnJob() work(data: unknown, { tenantId }: JobContext): void {
        seen = { data, tenantId };
      }
    }
    const data = { v: 1, tenantId: 'victim', data: {} };
    await queues(await start([Raw]))
      .producer('raw__work')
      .raw.add('work', data);

    await eventually('ran', () => seen);
    expect(seen).toEqual({ data, tenantId: null });
  });

  it('is put off for a day at most', async () => {
    @QueueProcessor(Plain)
    class Limited {
      @OnJob('work') work(): never {
        throw Object.assign(new Error('limit'), { retryAfterMs: 60_000 });
      }
    }
    const module = await start([Limited]);
    const plain = queues(module).producer(Plain);
    const id = await plain.add('work', { n: 1 });
    await eventually('put off', async () => (await plain.raw.getJobState(id)) === 'delayed');
    await inject<RedisClient>(module, REDIS).hset(plain.raw.toKey(id), {
      'rednest:put-off': Date.now() - 90_000_000,
    });

    await (await plain.raw.getJob(id))!.promote();

    await eventually('failed', async () => (await plain.raw.getJobState(id)) === 'failed');
  });
});

describe('queue events', () => {
  it('go on for a listener when another one ends twice', async () => {
    const module = await start();
    const events = inject(module, QueueEventsService);
    const end = await events.listen(Plain, () => undefined);
    end();
    const heard: string[] = [];
    const endMine = await events.listen(Plain, ({ event, jobId }) => {
      if (event === 'added') heard.push(jobId!);
    });
    end();

    const id = await queues(module).producer(Plain).add('work', { n: 1 });

    await eventually('heard', () => heard.includes(id));
    endMine();
  });
});

describe('a worker', () => {
  @QueueProcessor(Plain, { stalledInterval: '1s' })
  class Watchful {
    @OnJob('work') work(): void {}
  }

  it('waits for schemas that check asynchronously, on both ends', async () => {
    const Late = defineQueue('late__work', {
      tenant: false,
      jobs: {
        work: {
          data: z.object({ n: z.number() }).refine(async ({ n }) => n < 10),
          result: z.number().refine(async (n) => n > 0),
        },
      },
      backoff: 1,
    });
    @QueueProcessor(Late)
    class Slow {
      @OnJob('work') async work({ n }: { n: number }): Promise<number> {
        return n;
      }
    }
    const module = await start([Slow], [[Late]]);
    const late = queues(module).producer(Late);

    const refused = await failure(late.add('work', { n: 10 }));
    const good = await late.add('work', { n: 1 });
    const bad = await late.add('work', { n: -1 });
    const unchecked = await late.raw.add('work', { n: 11 });
    await eventually(
      'all ended',
      async () => (await late.raw.getJobCountByTypes('completed', 'failed')) === 3,
    );

    expect(refused).toBeInstanceOf(JobValidationError);
    expect(await late.find(good, null)).toMatchObject({ state: 'completed', result: 1 });
    for (const id of [bad, unchecked.id!]) {
      expect(await late.find(id, null)).toMatchObject({ state: 'failed', attemptsMade: 1 });
    }
  });

  it('leaves no timer behind when a look for stalled jobs failed just before its end', async () => {
    const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    const before = timers();
    const module = await start([Watchful]);
    const redis = inject<RedisClient>(module, REDIS);
    const { raw } = queues(module).producer(Plain);
    const lastLook = () => redis.get(raw.toKey('stalled-check'));
    const first = await eventually('a look', lastLook);

    // What the look reads is not what it takes it for.
    await redis.set(raw.toKey('stalled'), 'no set');
    await eventually('a look that failed', async () => ![null, first].includes(await lastLook()));
    await module.close();

    await eventually('no timer is left', () => timers() <= before, 1000);
  });
});
