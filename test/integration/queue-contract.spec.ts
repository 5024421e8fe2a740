import { describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import type { TestingModule } from '@nestjs/testing';
import { randomUUID } from 'node:crypto';
import { ConfigurationError, ConnectionRegistry, REDIS, type RedisClient } from 'rednest';
import {
  completed,
  defineQueue,
  drain,
  flowNode,
  InjectQueueProducer,
  OnJob,
  QueueContext,
  QueueFlows,
  QueueModule,
  QueueProcessor,
  QueueService,
  Schedule,
  WorkerExplorer,
  type AddJobOptions,
  type JobContext,
  type QueueModuleOptions,
  type QueueProducer,
} from 'rednest/queue';
import { z } from 'zod';
import { inject, type TestModuleInit } from '../support/app.js';
import { embeddedSuite } from '../support/embedded-suite.js';
import { eventually } from '../support/eventually.js';
import { failure } from '../support/failure.js';
import { queueDiagnostics } from '../support/queue-diagnostics.js';
import { Fair, Mail, QUIET, Upkeep } from '../support/queues.js';

const suite = embeddedSuite();

interface Seen {
  data: unknown;
  tenantId: string | null;
  scope: unknown;
}

@QueueProcessor(Mail)
class MailProcessor {
  readonly seen: Seen[] = [];
  constructor(readonly context: QueueContext) {}

  @OnJob('send-mail')
  sendMail(data: { to: string; at?: Date }, { tenantId }: JobContext): { id: string } {
    this.seen.push({ data, tenantId, scope: this.context.current });
    return data.to === 'bad-result' ? ({} as { id: string }) : { id: `m-${data.to}` };
  }

  @OnJob('purge')
  async purge({ days }: { days: number }): Promise<number> {
    return days;
  }
}

@Injectable()
class Sender {
  constructor(@InjectQueueProducer(Mail) readonly mail: QueueProducer<typeof Mail>) {}
}

async function start(
  init: Omit<TestModuleInit, 'redis'> & { options?: QueueModuleOptions; app?: string },
): Promise<TestingModule> {
  const { options, app, imports = [], ...rest } = init;
  return suite.open({
    ...rest,
    redis: app === undefined ? {} : { app },
    imports: [
      QueueModule.forRoot({ ...QUIET, ...options }),
      QueueModule.forFeature([Mail, Upkeep, Fair]),
      ...imports,
    ],
  });
}

describe('defineQueue', () => {
  it.each([
    ['a:b', /try "a__b"/],
    ['Mail__Out', /try "mail__out"/],
  ])('refuses the name %s with one that would do', (name, message) => {
    const define = () => defineQueue(name as 'x__y', { jobs: { a: { data: z.string() } } });

    expect(define).toThrow(ConfigurationError);
    expect(define).toThrow(message);
  });

  it('refuses rules that contradict each other', () => {
    const jobs = { a: { data: z.string() } };

    expect(() => defineQueue('a__b', { jobs: {} })).toThrow(/no jobs/);
    expect(() => defineQueue('a__b', { jobs, fair: true, tenant: false })).toThrow(/drop "tenant: false"/);
    expect(() => defineQueue('a__b', { jobs, attempts: 0 })).toThrow(/a__b.attempts/);
    expect(() => defineQueue('a__b', { jobs, retention: { failed: '1ms' } })).toThrow(/retention.failed/);
  });
});

describe('a queue with a contract', () => {
  it('R20 runs a typed job: transformed payload for the handler, checked result, tenant', async () => {
    const module = await start({ providers: [MailProcessor, Sender] });
    const at = '2026-01-02T03:04:05.000Z';

    await inject(module, Sender).mail.add('send-mail', { to: 'ada', at }, { tenantId: 'acme' });

    await drain(inject(module, QueueService), Mail);
    const [job] = await completed(inject(module, QueueService), Mail, 'send-mail');
    expect(job).toMatchObject({ tenantId: 'acme', data: { to: 'ada', at }, result: { id: 'm-ada' } });
    expect(inject(module, MailProcessor).seen[0]).toMatchObject({ data: { to: 'ada', at: new Date(at) } });
  });

  it('refuses a payload that does not match, naming fields and no values, and sends nothing', async () => {
    const module = await start({ providers: [Sender], options: { role: 'producer' } });
    const { mail } = inject(module, Sender);

    const error = await failure(
      mail.add('send-mail', { to: 5 as never, at: 's3cret' }, { tenantId: 'acme' }),
    );

    expect(error).toMatchObject({ code: 'ERR_JOB_INVALID', part: 'data', fields: ['to', 'at'] });
    expect(String(error)).not.toContain('s3cret');
    expect(await mail.raw.getJobCountByTypes('wait', 'delayed')).toBe(0);
    expect(await failure(mail.add('other' as 'purge', { days: 1 }, { tenantId: 'acme' }))).toMatchObject({
      code: 'ERR_JOB_UNKNOWN',
    });
  });

  it('fails a job that does not match in the worker, or whose result does not, without another attempt', async () => {
    const module = await start({ providers: [MailProcessor, Sender] });
    const { mail } = inject(module, Sender);

    const foreign = await mail.raw.add('send-mail', { rednest: 1, tenantId: 'acme', data: { to: '' } });
    const badResult = await mail.add('send-mail', { to: 'bad-result' }, { tenantId: 'acme' });

    const failed = await eventually('both failed', async () => {
      const jobs = await mail.raw.getFailed();
      return jobs.length === 2 && jobs;
    });
    const reasons = new Map(failed.map((job) => [job.id, job]));
    expect(reasons.get(foreign.id)?.failedReason).toContain('The data of job "send-mail" does not match');
    expect(reasons.get(badResult)?.failedReason).toContain('The result of job "send-mail" does not match');
    expect(failed.map(({ attemptsMade }) => attemptsMade)).toEqual([1, 1]);
  });

  it('takes tenant and trace from the scope, and restores them around the handler', async () => {
    const module = await start({ providers: [MailProcessor, Sender] });
    const context = inject(module, QueueContext);
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const scope = { tenantId: 'scoped', traceparent, tracestate: 'a=1' };

    await context.run(scope, () => inject(module, Sender).mail.add('send-mail', { to: 'x' }));

    await drain(inject(module, QueueService), Mail);
    expect(inject(module, MailProcessor).seen[0]).toMatchObject({ tenantId: 'scoped', scope });
    expect(context.current).toBeUndefined();
  });

  it('refuses a job without a tenant, unless the queue has none', async () => {
    const module = await start({ providers: [Sender], options: { role: 'producer' } });

    expect(await failure(inject(module, Sender).mail.add('purge', { days: 1 }))).toMatchObject({
      code: 'ERR_JOB_TENANT',
    });
    expect(await inject(module, QueueService).producer(Upkeep).add('tick', 1)).toContain('system__upkeep.');
  });

  it('does not boot with a job that nobody handles, in a producer either, nor with a handler too many', async () => {
    @QueueProcessor(['mail__out', Mail] as never)
    class Partial {
      @OnJob('send-mail') sendMail(): void {}
      @OnJob('unheard-of') unheardOf(): void {}
    }

    const error = await failure(start({ providers: [Partial], options: { role: 'producer' } }));

    expect(error).toBeInstanceOf(ConfigurationError);
    expect(String(error)).toContain('Partial does not handle job "purge"');
    expect(String(error)).toContain(`@OnJob('purge')`);
    expect(String(error)).toContain('"unheard-of", which no contract');
  });

  it('refuses two contracts for one queue', async () => {
    const Twin = defineQueue('mail__out', { jobs: { a: { data: z.string() } } });

    await expect(start({ imports: [QueueModule.forFeature([Twin])] })).rejects.toThrow(/two contracts/);
  });

  it('starts no worker in a producer, and everything in a worker', async () => {
    const producer = await start({ providers: [MailProcessor, Sender], options: { role: 'producer' } });
    const worker = await start({ providers: [MailProcessor, Sender], options: { role: 'worker' } });

    expect(inject(producer, WorkerExplorer).queues).toEqual([]);
    expect(inject(worker, WorkerExplorer).queues).toEqual(['mail__out']);
  });
});

describe('QueueProducer.once', () => {
  it('A9 makes one job of 100 concurrent calls, atomically, with a visible time to live', async () => {
    const app = `once${randomUUID().slice(0, 8)}`;
    const init = { providers: [Sender], options: { role: 'producer' as const }, app };
    const modules = await Promise.all(Array.from({ length: 4 }, () => start(init)));

    const results = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        inject(modules[index % 4]!, Sender).mail.once(
          'send-mail',
          { to: `${index}` },
          { tenantId: 'acme', key: 'k:1' },
        ),
      ),
    );

    const { mail } = inject(modules[0]!, Sender);
    expect(await mail.raw.getWaitingCount()).toBe(1);
    expect(results.filter(({ deduplicated }) => !deduplicated)).toHaveLength(1);
    expect(new Set(results.map(({ jobId }) => jobId)).size).toBe(1);
    const { keyPrefix } = inject(modules[0]!, ConnectionRegistry).configuration;
    const key = `${keyPrefix}:queue:{mail__out}:mail__out:de:acme:send-mail:k%3A1`;
    const ttlMs = await inject<RedisClient>(modules[0]!, REDIS).pttl(key);
    expect(ttlMs).toBeGreaterThanOrEqual(86_340_000);
    expect(ttlMs).toBeLessThanOrEqual(86_400_000);
  });

  it('keeps the key when the job completes, and keeps tenants and names apart', async () => {
    const module = await start({ providers: [MailProcessor, Sender] });
    const { mail } = inject(module, Sender);
    const options = { tenantId: 'acme', key: 'k' };

    const first = await mail.once('send-mail', { to: 'a' }, options);
    await drain(inject(module, QueueService), Mail);
    const again = await mail.once('send-mail', { to: 'a' }, options);
    const other = await mail.once('send-mail', { to: 'a' }, { ...options, tenantId: 'evil' });
    const named = await mail.once('purge', { days: 1 }, options);

    expect(again).toEqual({ jobId: first.jobId, deduplicated: true });
    expect([other.deduplicated, named.deduplicated]).toEqual([false, false]);
  });

  it('refuses a key that would outlive its job', async () => {
    const module = await start({ providers: [Sender], options: { role: 'producer' } });
    const options = { tenantId: 'acme', key: 'k', ttl: '2d' as const };

    expect(await failure(inject(module, Sender).mail.once('purge', { days: 1 }, options))).toMatchObject({
      code: 'ERR_CONFIGURATION',
    });
  });

  it.each(['keep', 'release'] as const)(
    'when the job fails for good, the key is as onFinalFailure says: %s',
    async (onFinalFailure) => {
      @QueueProcessor(Mail)
      class Failing {
        @OnJob('send-mail') sendMail(): { id: string } {
          throw new Error('no');
        }
        @OnJob('purge') purge(): void {}
      }
      const module = await start({ providers: [Failing, Sender] });
      const { mail } = inject(module, Sender);
      const service = inject(module, QueueService);
      const once = () => mail.once('send-mail', { to: 'a' }, { tenantId: 'acme', key: 'k', onFinalFailure });
      const notify = () =>
        service.notifyOnce(
          Mail,
          'send-mail',
          { to: 'a' },
          { tenantId: 'acme', type: 't', dedupeKey: 'k', onFinalFailure },
        );
      const released = queueDiagnostics('released');

      await once();
      await notify();
      await eventually('both failed', async () => (await mail.raw.getFailedCount()) === 2);
      if (onFinalFailure === 'release') await eventually('released', () => released.list.length === 2);

      const expected = onFinalFailure === 'keep';
      expect((await once()).deduplicated).toBe(expected);
      expect((await notify()).deduplicated).toBe(expected);
      released.end();
    },
  );
});

describe('Schedule', () => {
  it('runs once per fleet, however many processes declare it', async () => {
    const app = `plan${randomUUID().slice(0, 8)}`;
    const ran: number[] = [];
    @QueueProcessor(Upkeep)
    class Ticker {
      @OnJob('tick')
      @Schedule({ every: '1s', data: { n: 7 } })
      tick(data: unknown): void {
        expect(data).toEqual({ n: 7 });
        ran.push(Date.now());
      }
    }
    const modules = [];
    for (let index = 0; index < 3; index += 1) modules.push(await start({ providers: [Ticker], app }));

    await eventually('ran four times', () => ran.length >= 4);

    const { raw } = inject(modules[0]!, QueueService).producer(Upkeep);
    expect(await raw.getJobSchedulersCount()).toBe(1);
    const slots = new Set(ran.map((ms) => Math.round(ms / 500)));
    expect(ran.length).toBeLessThanOrEqual(slots.size + 1);
  });

  it('takes cron patterns, and refuses what is none', async () => {
    @QueueProcessor(Upkeep)
    class Nightly {
      @OnJob('tick')
      @Schedule({ cron: '0 3 * * *', tz: 'Europe/Prague', id: 'nightly' })
      tick(): void {}
    }
    const module = await start({ providers: [Nightly] });
    const { raw } = inject(module, QueueService).producer(Upkeep);

    const plan = await eventually('scheduled', () => raw.getJobScheduler('nightly'));

    expect(plan).toMatchObject({ pattern: '0 3 * * *', tz: 'Europe/Prague', name: 'tick' });
    expect(() => Schedule({ cron: 'daily' })).toThrow(/no cron pattern/);
  });

  it('does not boot where the job of a schedule belongs to a tenant and the schedule has none', async () => {
    @QueueProcessor(Mail)
    class Careless {
      @OnJob('send-mail') sendMail(): { id: string } {
        return { id: '' };
      }
      @OnJob('purge') @Schedule({ every: '1h' }) purge(): void {}
    }

    await expect(start({ providers: [Careless] })).rejects.toThrow(/schedule of job "purge" has no tenant/);
  });
});

describe('the order of jobs', () => {
  it("is BullMQ's own: priorities, last in first out, delays", async () => {
    const order: number[] = [];
    @QueueProcessor(Mail)
    class Ordered {
      @OnJob('send-mail') sendMail(): { id: string } {
        return { id: '' };
      }
      @OnJob('purge') purge({ days }: { days: number }): void {
        order.push(days);
      }
    }
    const module = await start({ providers: [Ordered, Sender] });
    const { mail } = inject(module, Sender);
    await mail.raw.pause();

    const add = (days: number, options: AddJobOptions = {}) =>
      mail.add('purge', { days }, { tenantId: 'acme', ...options });
    await add(6, { priority: 9 });
    await add(5, { priority: 1 });
    await add(3);
    await add(4);
    await add(2, { lifo: true });
    await add(1, { lifo: true });
    await add(7, { delay: 300 });
    await mail.raw.resume();

    await eventually('all ran', () => order.length === 7);
    expect(order).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });
});

describe('QueueFlows', () => {
  it('runs the children before their parent, with tenant and progress', async () => {
    const order: string[] = [];
    @QueueProcessor(Mail)
    class Steps {
      @OnJob('send-mail') async sendMail(
        { to }: { to: string },
        { job }: JobContext,
      ): Promise<{ id: string }> {
        await job.updateProgress(50);
        order.push(to);
        return { id: to };
      }
      @OnJob('purge') async purge(_data: unknown, { job, tenantId }: JobContext): Promise<unknown> {
        order.push(`purge for ${tenantId}`);
        return Object.values(await job.getChildrenValues());
      }
    }
    const module = await start({ providers: [Steps] });
    const owner = { tenantId: 'acme' };

    const tree = await inject(module, QueueFlows).add(
      flowNode(Mail, 'purge', { days: 1 }, owner, [
        flowNode(Mail, 'send-mail', { to: 'a' }, owner),
        flowNode(Mail, 'send-mail', { to: 'b' }, owner),
      ]),
    );

    await drain(inject(module, QueueService), Mail);
    expect(order.slice(0, 2).toSorted()).toEqual(['a', 'b']);
    expect(order[2]).toBe('purge for acme');
    const view = await inject(module, QueueService).find(tree.job.id!, 'acme');
    expect(view?.result).toHaveLength(2);
  });
});
