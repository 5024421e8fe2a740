import { afterEach, describe, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { Queue, SpanKind, type Telemetry } from 'bullmq';
import { AsyncLocalStorage } from 'node:async_hooks';
import { Redis, type RedisOptions } from 'ioredis';
import { ConfigurationError, ConnectionRegistry, type RedisModuleOptions } from 'rednest';
import {
  drain,
  OnJob,
  QueueModule,
  QueueProcessor,
  QueueService,
  type QueueModuleOptions,
} from 'rednest/queue';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { failure } from '../support/failure.js';
import { describeNative } from '../support/needs.js';
import { Fair, Mail, QUIET } from '../support/queues.js';
import { startEmbedded, startNative } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

@QueueProcessor(Mail)
class Mailer {
  @OnJob('send-mail') sendMail({ to }: { to: string }): { id: string } {
    return { id: to };
  }
  @OnJob('purge') purge(): void {
    throw new Error('no purge');
  }
}

@QueueProcessor(Fair)
class Sharer {
  @OnJob('work') work(): void {}
}

async function start(
  redis: Partial<RedisModuleOptions>,
  options: Partial<QueueModuleOptions> = {},
): Promise<TestingModule> {
  const module = await createModule({
    redis,
    imports: [QueueModule.forRoot({ ...QUIET, ...options }), QueueModule.forFeature([Mail, Fair])],
    providers: [Mailer, Sharer],
  });
  cleanups.push(() => module.close());
  return module;
}

async function embedded(): Promise<string> {
  const server = await startEmbedded();
  cleanups.push(() => server.stop());
  return server.url;
}

function client(url: string, options: RedisOptions): Redis {
  const redis = new Redis(url, options);
  redis.on('error', () => undefined);
  cleanups.push(() => redis.disconnect());
  return redis;
}

describe('what BullMQ needs of its connections', () => {
  it('R6 a key prefix of the client is refused, with the fix', async () => {
    const url = await embedded();

    const brought = await failure(start({ client: client(url, { keyPrefix: 'x:' }) }));
    const inUrl = await failure(start({ url: `${url}?keyPrefix=x` }));

    expect(brought).toBeInstanceOf(ConfigurationError);
    expect(String(brought)).toMatch(/keyPrefix "x:".*BullMQ.*remove it.*option keyPrefix instead/);
    expect(inUrl).toBeInstanceOf(ConfigurationError);
    expect(String(inUrl)).toMatch(/has query options.*remove them/);
  });

  it('R6 retry settings of a role are refused, with the fix', async () => {
    const url = await embedded();
    const roles = { worker: { maxRetriesPerRequest: 3 } } as never;

    expect(String(await failure(start({ url, roles })))).toMatch(
      /"roles\.worker\.maxRetriesPerRequest" does not exist; remove it/,
    );
  });

  it('R6 retry settings of a client that was brought do not reach workers and producers', async () => {
    const url = await embedded();
    const module = await start({ client: client(url, { maxRetriesPerRequest: 20 }) });
    const registry = inject(module, ConnectionRegistry);

    const producer = registry.client('default', 'producer').options;
    const worker = registry.client('default', 'worker').options;
    const queues = inject(module, QueueService);
    const jobId = await queues.producer(Mail).add('send-mail', { to: 'a' }, { tenantId: 't' });
    await drain(queues, Mail);

    expect(producer).toMatchObject({ keyPrefix: '', maxRetriesPerRequest: 0 });
    expect(worker).toMatchObject({ keyPrefix: '', maxRetriesPerRequest: null });
    expect(await queues.find(jobId, 't')).toMatchObject({ state: 'completed' });
  });
});

describeNative('what queues need of their server', () => {
  it('R6 a server that evicts ends a production start, and is warned of elsewhere, with the fix', async () => {
    const server = await startNative([
      '--maxmemory',
      '50mb',
      '--maxmemory-policy',
      'allkeys-lru',
      '--save',
      '3600 1',
    ]);
    cleanups.push(() => server.stop());
    const log = new TestLog();

    const refused = await failure(start({ url: server.url, environment: 'production' }));
    await start({ url: server.url, environment: 'development', logger: log });

    expect(refused).toMatchObject({ code: 'ERR_REDIS_BOOT', reason: 'EVICTION' });
    expect(String(refused)).toMatch(/maxmemory-policy allkeys-lru.*queues.*set maxmemory-policy noeviction/);
    expect(log.text).toMatch(/allkeys-lru.*queues.*set maxmemory-policy noeviction/);
  });
});

/** A tracer that keeps its spans, with contexts that follow the code: what an OpenTelemetry SDK does, in small. */
function tracing() {
  interface Span {
    readonly name: string;
    readonly kind: SpanKind | undefined;
    readonly trace: string;
    readonly attributes: Record<string, unknown>;
    readonly events: string[];
    ended: boolean;
  }
  interface Context {
    readonly trace: string | undefined;
  }
  const spans: Span[] = [];
  const storage = new AsyncLocalStorage<Context>();
  const active = (): Context => storage.getStore() ?? { trace: undefined };
  const telemetry: Telemetry<Context> = {
    tracer: {
      startSpan(name, options, context = active()) {
        const trace = context.trace ?? `trace-${spans.length}`;
        const span: Span = { name, kind: options?.kind, trace, attributes: {}, events: [], ended: false };
        spans.push(span);
        return {
          setSpanOnContext: () => ({ trace }),
          setAttribute: (key, value) => void (span.attributes[key] = value),
          setAttributes: (attributes) => void Object.assign(span.attributes, attributes),
          addEvent: (event) => void span.events.push(event),
          recordException: () => undefined,
          end: () => void (span.ended = true),
        };
      },
    },
    contextManager: {
      with: (context, run) => storage.run(context as Context, run),
      active,
      getMetadata: ({ trace }) => JSON.stringify({ trace }),
      fromMetadata: (_active, metadata) => JSON.parse(metadata) as Context,
    },
  };
  const named = (name: string) => spans.filter((span) => span.name.startsWith(name));
  return { telemetry, spans, named };
}

describe('telemetry', () => {
  it('R20 is handed to queues and workers: the run of a job is in the trace of its add, fair or not', async () => {
    const { telemetry, spans, named } = tracing();
    const queues = inject(await start({ url: await embedded() }, { telemetry }), QueueService);

    const mailId = await queues.producer(Mail).add('send-mail', { to: 'a' }, { tenantId: 't' });
    const fairId = await queues.producer(Fair).add('work', { n: 1 }, { tenantId: 't' });
    await drain(queues, Mail);
    await drain(queues, Fair);
    await eventually(
      'the spans have ended',
      () => named('process').length >= 2 && spans.every(({ ended }) => ended),
    );

    for (const [queue, jobName, jobId] of [
      [Mail.name, 'send-mail', mailId],
      [Fair.name, 'work', fairId],
    ] as const) {
      const [add] = named(`add ${queue}.${jobName}`);
      const [run] = spans.filter(
        ({ kind, attributes }) => kind === SpanKind.CONSUMER && Object.values(attributes).includes(jobId),
      );
      expect(add).toMatchObject({ kind: SpanKind.PRODUCER, ended: true });
      expect(Object.values(add!.attributes)).toContain(jobId);
      expect(run?.trace).toBe(add!.trace);
    }
  });

  it('R20 sees a failed attempt, and costs nothing where there is none', async () => {
    const { telemetry, spans } = tracing();
    const url = await embedded();
    const traced = inject(await start({ url }, { telemetry }), QueueService);
    const jobId = await traced.producer(Mail).add('purge', { days: 1 }, { tenantId: 't', attempts: 1 });
    await eventually('it failed', async () => (await traced.find(jobId, 't'))?.state === 'failed');
    await eventually('the span says so', () => spans.some(({ events }) => events.includes('job failed')));

    const plain = inject(await start({ url }), QueueService).producer(Mail).raw;

    expect(plain).toBeInstanceOf(Queue);
    expect(plain.opts.telemetry).toBeUndefined();
  });
});
