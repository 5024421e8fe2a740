import { describe, expect, it } from '@jest/globals';
import { Injectable, Module, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import { ConfigurationError, ConnectionRegistry, REDIS, type RedisClient } from 'rednest';
import {
  InjectQueueProducer,
  OnJob,
  QueueModule,
  QueueProcessor,
  QueueService,
  type JobContext,
  type QueueName,
  type QueueProducer,
} from 'rednest/queue';
import { createModule, inject, type TestModuleInit } from '../support/app.js';
import { embeddedSuite } from '../support/embedded-suite.js';
import { eventually } from '../support/eventually.js';

const suite = embeddedSuite();

const EMAIL = 'notifications__email';
const SMS = 'notifications__sms';

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve };
}

async function start(init: Omit<TestModuleInit, 'redis'>, role: 'producer' | 'both' = 'both', app?: string) {
  return suite.open({
    ...init,
    redis: app === undefined ? {} : { app },
    imports: [QueueModule.forRoot({ role }), QueueModule.forFeature([EMAIL, SMS]), ...(init.imports ?? [])],
  });
}

@QueueProcessor([EMAIL, SMS], { concurrency: 5 })
class Recorder {
  readonly seen: { data: unknown; tenantId: string | null }[] = [];

  @OnJob('send')
  async send(data: unknown, { tenantId }: JobContext): Promise<string> {
    this.seen.push({ data, tenantId });
    return 'sent';
  }
}

@Injectable()
class Sender {
  constructor(@InjectQueueProducer(EMAIL) readonly email: QueueProducer) {}
}

describe('QueueModule', () => {
  it('R20 R27 runs a job that was added, with its tenant, and shows its result', async () => {
    const module = await start({ providers: [Recorder, Sender] });

    const jobId = await inject(module, Sender).email.add('send', { to: 'a' }, { tenantId: 'acme' });

    const view = await eventually('job completed', async () => {
      const found = await inject(module, QueueService).find(jobId, 'acme');
      return found?.state === 'completed' && found;
    });
    expect(view).toMatchObject({ queue: EMAIL, name: 'send', tenantId: 'acme', result: 'sent' });
    expect(inject(module, Recorder).seen).toEqual([{ data: { to: 'a' }, tenantId: 'acme' }]);
  });

  it('R18 shows a job to no other tenant', async () => {
    const module = await start({ providers: [Sender] }, 'producer');

    const jobId = await inject(module, Sender).email.add('send', {}, { tenantId: 'acme' });

    expect(await inject(module, QueueService).find(jobId, 'evil')).toBeUndefined();
    expect(await inject(module, QueueService).find(jobId, null)).toBeUndefined();
    expect(await inject(module, QueueService).find(`${EMAIL}.${randomUUID()}`, 'acme')).toBeUndefined();
    expect(await inject(module, QueueService).find('../../etc', 'acme')).toBeUndefined();
  });

  it('gives jobs ids that are unique over all queues', async () => {
    const module = await start({ providers: [Sender] }, 'producer');
    const service = inject(module, QueueService);

    const ids = await Promise.all(
      Array.from({ length: 50 }, (_, index) => service.producer(index % 2 ? EMAIL : SMS).add('send', index)),
    );

    expect(new Set(ids).size).toBe(50);
  });

  it.each(['notifications:email', 'Notifications__Email', 'email', 'a__b__', '__x', 'a__b c'])(
    'refuses the queue name %s with a name that would do',
    (name) => {
      expect(() => QueueModule.forFeature([name as QueueName])).toThrow(ConfigurationError);
      expect(() => QueueModule.forFeature([name as QueueName])).toThrow(/try "[a-z0-9-]+__[a-z0-9-]+"/);
    },
  );

  it('R6 gives workers a connection of their own, apart from the producer', async () => {
    const module = await start({ providers: [Recorder, Sender] });
    const registry = inject(module, ConnectionRegistry);

    await inject(module, Sender).email.add('send', 1);

    expect(registry.client('default', 'worker')).not.toBe(registry.client('default', 'producer'));
    expect(registry.client('default', 'worker').options).toMatchObject({ maxRetriesPerRequest: null });
    expect(registry.client('default', 'producer').options).toMatchObject({ maxRetriesPerRequest: 0 });
  });

  it('keeps completed jobs for 24 h and failed ones for 7 days', async () => {
    const module = await start({ providers: [Sender] }, 'producer');
    const { raw } = inject(module, Sender).email;

    expect(raw.defaultJobOptions).toMatchObject({
      attempts: 3,
      removeOnComplete: { age: 86_400 },
      removeOnFail: { age: 604_800 },
    });
  });

  it('A6 starts no job before every module has bootstrapped', async () => {
    const order: string[] = [];
    @QueueProcessor(EMAIL)
    class Early {
      @OnJob() run(): void {
        order.push('job');
      }
    }
    @Module({})
    class SlowModule implements OnApplicationBootstrap {
      async onApplicationBootstrap(): Promise<void> {
        await new Promise((resolve) => setTimeout(resolve, 50));
        order.push('bootstrapped');
      }
    }
    const app = `early${randomUUID().slice(0, 8)}`;
    const before = await start({ providers: [Sender] }, 'producer', app);
    await inject(before, Sender).email.add('send', 1);

    await start({ providers: [Early], imports: [SlowModule] }, 'both', app);

    await eventually('job ran', () => order.includes('job'));
    expect(order).toEqual(['bootstrapped', 'job']);
  });

  it('fails a job nobody handles, at once and by name', async () => {
    @QueueProcessor(EMAIL)
    class Other {
      @OnJob('known') run(): void {}
    }
    const module = await start({ providers: [Other, Sender] });

    const jobId = await inject(module, Sender).email.add('unknown', 1);

    const view = await eventually('job failed', async () => {
      const found = await inject(module, QueueService).find(jobId, null);
      return found?.state === 'failed' && found;
    });
    expect(view.attemptsMade).toBe(1);
    expect(view.failedReason).toContain('@OnJob');
  });

  it('refuses a processor without handlers at start', async () => {
    @QueueProcessor(EMAIL)
    class Empty {}

    await expect(start({ providers: [Empty] })).rejects.toThrow(/no method with @OnJob/);
  });

  it.each([true, false])(
    'A7 R8 lets a running job end and enqueue its follow-up before its database closes (database imported first: %s)',
    async (databaseFirst) => {
      const log: string[] = [];
      const { promise: running, resolve: began } = deferred();
      @Injectable()
      class Database implements OnModuleDestroy {
        onModuleDestroy(): void {
          log.push('database closed');
        }
      }
      @Module({ providers: [Database], exports: [Database] })
      class DatabaseModule {}
      @QueueProcessor(EMAIL)
      class Slow {
        constructor(
          readonly database: Database,
          @InjectQueueProducer(SMS) readonly sms: QueueProducer,
        ) {}
        @OnJob() async run(): Promise<void> {
          began();
          await new Promise((resolve) => setTimeout(resolve, 50));
          await this.sms.add('follow-up', 1);
          log.push('job ended');
        }
      }
      @Module({ imports: [DatabaseModule, QueueModule.forFeature([EMAIL, SMS])], providers: [Slow, Sender] })
      class JobsModule {}
      const features = databaseFirst ? [DatabaseModule, JobsModule] : [JobsModule, DatabaseModule];
      const app = `drain${randomUUID().slice(0, 8)}`;
      const module = await createModule({
        redis: { url: suite.url, app },
        imports: [QueueModule.forRoot(), ...features],
      });
      await inject(module, Sender).email.add('work', 1);
      await running;

      await module.close();

      expect(log).toEqual(['job ended', 'database closed']);
      const later = await start({ providers: [Sender] }, 'producer', app);
      expect(await inject(later, QueueService).producer(SMS).raw.getWaitingCount()).toBe(1);
    },
  );
});

describe('QueueService.notifyOnce', () => {
  it('R18 makes one job of 100 concurrent calls on 4 processes, whatever the channel', async () => {
    const app = `once${randomUUID().slice(0, 8)}`;
    const modules = await Promise.all(
      Array.from({ length: 4 }, () => start({ providers: [Sender] }, 'producer', app)),
    );
    const options = { tenantId: 'acme', type: 'welcome', dedupeKey: 'u1' };

    const results = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        inject(modules[index % 4]!, QueueService).notifyOnce(
          index % 3 ? EMAIL : SMS,
          'send',
          { index },
          options,
        ),
      ),
    );

    const service = inject(modules[0]!, QueueService);
    const counts = await Promise.all(
      [EMAIL, SMS].map((name) => service.producer(name as QueueName).raw.getWaitingCount()),
    );
    expect(counts[0]! + counts[1]!).toBe(1);
    expect(new Set(results.map(({ jobId }) => jobId)).size).toBe(1);
    expect(results.filter(({ deduplicated }) => !deduplicated)).toHaveLength(1);
  });

  it('R27 remembers a notification for 24 h, to within a minute', async () => {
    const module = await start({ providers: [Sender] }, 'producer');
    const redis = inject<RedisClient>(module, REDIS);

    await inject(module, QueueService).notifyOnce(
      EMAIL,
      'send',
      {},
      { tenantId: 'acme', type: 't', dedupeKey: 'k' },
    );

    const prefix = inject(module, ConnectionRegistry).configuration.keyPrefix;
    const ttlMs = await redis.pttl(`${prefix}:queue:{acme}:once:t:k`);
    expect(ttlMs).toBeGreaterThanOrEqual(86_340_000);
    expect(ttlMs).toBeLessThanOrEqual(86_400_000);
  });

  it('keeps tenants, types and keys apart, also where their texts run together', async () => {
    const module = await start({ providers: [Sender] }, 'producer');
    const service = inject(module, QueueService);
    const identities = [
      ['a', 'b:c', 'd'],
      ['a:b', 'c', 'd'],
      ['a', 'b', 'c:d'],
      ['a}', 'b', 'c'],
      ['a', '}b', 'c'],
      ['a%3Ab', 'c', 'd'],
    ] as const;

    const results = await Promise.all(
      identities.map(([tenantId, type, dedupeKey]) =>
        service.notifyOnce(EMAIL, 'send', {}, { tenantId, type, dedupeKey }),
      ),
    );

    expect(results.every(({ deduplicated }) => !deduplicated)).toBe(true);
    expect(new Set(results.map(({ jobId }) => jobId)).size).toBe(identities.length);
  });

  it('finishes what a crashed caller began: claimed, never queued', async () => {
    const module = await start({ providers: [Recorder, Sender] });
    const service = inject(module, QueueService);
    const redis = inject<RedisClient>(module, REDIS);
    const prefix = inject(module, ConnectionRegistry).configuration.keyPrefix;
    const jobId = service.producer(EMAIL).newJobId();
    const key = `${prefix}:queue:{acme}:once:t:crash`;
    await redis.hset(key, {
      jobId,
      state: 'claimed',
      queue: EMAIL,
      jobName: 'send',
      data: '{"from":"crashed"}',
    });
    await redis.pexpire(key, 86_400_000);

    const result = await service.notifyOnce(
      SMS,
      'send',
      { from: 'second' },
      {
        tenantId: 'acme',
        type: 't',
        dedupeKey: 'crash',
      },
    );

    expect(result).toEqual({ jobId, deduplicated: true });
    await eventually('delivered', () => inject(module, Recorder).seen.length > 0);
    expect(inject(module, Recorder).seen).toEqual([{ data: { from: 'crashed' }, tenantId: 'acme' }]);
    expect(await redis.hgetall(key)).toMatchObject({ state: 'queued', jobId });
  });
});
