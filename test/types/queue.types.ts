// Must compile as it stands: every line under "@ts-expect-error" must not.
import type { DynamicModule } from '@nestjs/common';
import type { QueueDiagnostic } from 'rednest';
import { z } from 'zod';
import {
  assertQueueName,
  completed,
  defineQueue,
  flowNode,
  InjectQueueProducer,
  OnDeadLetter,
  OnJob,
  QueueModule,
  QueueProcessor,
  resolveQueueOptions,
  Schedule,
  type DeadLetter,
  type DeadLetters,
  type JobContext,
  type JobView,
  type OnceResult,
  type QueueName,
  type QueueProducer,
  type QueueService,
  type QueueStats,
  type ResolvedQueueOptions,
} from 'rednest/queue';

/** Compiles only when both types are the same. */
type Same<A, B> = [A, B] extends [B, A] ? true : never;
function assertSame<A, B>(_proof: Same<A, B>): void {}

export function names(text: string): QueueName[] {
  const checked: QueueName = assertQueueName(text);
  // @ts-expect-error a name has a namespace
  const bare: QueueName = 'email';
  // @ts-expect-error text from outside is checked first
  const unchecked: QueueName = text;
  // @ts-expect-error two underscores
  const single: QueueName = 'mail_out';
  return [checked, 'mail__out', bare, unchecked, single];
}

export const modules: DynamicModule[] = [
  QueueModule.forRoot(),
  QueueModule.forRoot({ role: 'producer', addTimeout: '500ms', keepFailed: '30d', attempts: 5 }),
  QueueModule.forRootAsync({ useFactory: async () => ({ role: 'worker' as const }) }),
  QueueModule.forFeature(['mail__out', 'reports__pdf'] as const),
  // @ts-expect-error not a queue name
  QueueModule.forFeature(['email']),
  // @ts-expect-error a list of names
  QueueModule.forFeature('mail__out'),
  // @ts-expect-error not a role
  QueueModule.forRoot({ role: 'consumer' }),
  // @ts-expect-error not a unit
  QueueModule.forRoot({ addTimeout: '1 second' }),
  // @ts-expect-error not an option
  QueueModule.forRoot({ prefix: 'bull' }),
];

@QueueProcessor(['mail__out', 'mail__in'], { concurrency: 4 })
export class Processor {
  constructor(@InjectQueueProducer('mail__out') readonly mail: QueueProducer) {}

  @OnJob('send')
  async send(data: { to: string }, { job, tenantId, signal }: JobContext): Promise<string> {
    assertSame<typeof tenantId, string | null>(true);
    signal.throwIfAborted();
    return `${job.name} ${data.to}`;
  }

  @OnJob()
  rest(): void {}

  // @ts-expect-error a handler takes the payload and the context
  @OnJob('wrong')
  wrong(_data: unknown, _context: { queue: Map<string, string> }): void {}
}

// @ts-expect-error not a queue name
@QueueProcessor('email')
export class Nameless {}

// @ts-expect-error not a setting
@QueueProcessor('mail__out', { workers: 4 })
export class Unset {}

export async function use(service: QueueService, producer: QueueProducer): Promise<void> {
  const id = await producer.add('send', { to: 'a' }, { tenantId: 't1', delay: 1000, priority: 2 });
  assertSame<typeof id, string>(true);
  const view = await service.find(id, 't1');
  assertSame<typeof view, JobView | undefined>(true);
  const once = await service.notifyOnce(
    'mail__out',
    'send',
    {},
    { tenantId: 't1', type: 'due', dedupeKey: '1' },
  );
  assertSame<typeof once, OnceResult>(true);
  assertSame<ReturnType<typeof resolveQueueOptions>, ResolvedQueueOptions>(true);
  // @ts-expect-error whose job it is has to be said
  await service.find(id);
  // @ts-expect-error a missing tenant is not the system
  await service.find(id, undefined);
  // @ts-expect-error a deduplication has a tenant
  await service.notifyOnce('mail__out', 'send', {}, { type: 'due', dedupeKey: '1' });
  // @ts-expect-error not a queue name
  service.producer('email');
  // @ts-expect-error retention is set on the module
  await producer.add('send', {}, { removeOnComplete: true });
  // @ts-expect-error a view is read only
  once.deduplicated = true;
  // @ts-expect-error the payload is not part of a view
  void view?.data;
}

const Mail = defineQueue('mail__typed', {
  jobs: {
    'send-mail': {
      data: z.object({ to: z.string(), at: z.coerce.date().optional() }),
      result: z.object({ id: z.string() }),
    },
    purge: { data: z.object({ days: z.number() }) },
  },
  fair: { weight: (tenantId) => tenantId.length },
  retention: { completed: '1d' },
});

// @ts-expect-error BullMQ forbids ":"
export const colon = defineQueue('mail:out', { jobs: {} });
// @ts-expect-error lower case
export const upper = defineQueue('Mail__out', { jobs: {} });
// @ts-expect-error a namespace
export const bare = defineQueue('mail', { jobs: {} });
// @ts-expect-error one namespace
export const twice = defineQueue('mail__out__now', { jobs: {} });
// @ts-expect-error not a schema
export const schemaless = defineQueue('mail__out', { jobs: { send: { data: 'string' } } });

@QueueProcessor(Mail, { maxStalled: 2 })
export class MailProcessor {
  @OnJob('send-mail')
  @Schedule({ every: '1h', tenantId: 't1' })
  sendMail(data: { to: string; at?: Date }): { id: string } {
    return { id: data.to };
  }
  @OnJob('purge') async purge({ days }: { days: number }, { signal }: JobContext): Promise<number> {
    return signal.aborted ? 0 : days;
  }
  @OnDeadLetter() dead(letter: DeadLetter): string {
    return letter.failedReason;
  }
}

// @ts-expect-error nobody handles "purge"
@QueueProcessor(Mail)
export class Incomplete {
  @OnJob('send-mail') sendMail(): { id: string } {
    return { id: '' };
  }
}

// @ts-expect-error the payload is another one
@QueueProcessor(Mail)
export class WrongPayload {
  @OnJob('send-mail') sendMail(data: { to: number }): { id: string } {
    return { id: `${data.to}` };
  }
  @OnJob('purge') purge(): void {}
}

// @ts-expect-error the result is another one
@QueueProcessor(Mail)
export class WrongResult {
  @OnJob('send-mail') sendMail(): { id: number } {
    return { id: 1 };
  }
  @OnJob('purge') purge(): void {}
}

export async function typed(
  mail: QueueProducer<typeof Mail>,
  queues: QueueService,
  dead: DeadLetters,
): Promise<void> {
  await mail.add('send-mail', { to: 'a', at: '2026-01-01' }, { tenantId: 't' });
  // @ts-expect-error not a job of the queue
  await mail.add('send', { to: 'a' });
  // @ts-expect-error not its payload
  await mail.add('purge', { days: '1' });
  // @ts-expect-error what makes two jobs the same one
  await mail.once('purge', { days: 1 }, {});
  const once = await mail.once('purge', { days: 1 }, { key: 'k', ttl: '1h', onFinalFailure: 'release' });
  assertSame<typeof once, OnceResult>(true);
  await queues.notifyOnce(Mail, 'purge', { days: 1 }, { tenantId: 't', type: 'x', dedupeKey: 'k' });
  // @ts-expect-error not its payload
  await queues.notifyOnce(Mail, 'purge', { day: 1 }, { tenantId: 't', type: 'x', dedupeKey: 'k' });
  const [job] = await completed(queues, Mail, 'send-mail');
  assertSame<NonNullable<typeof job>['result'], { id: string }>(true);
  flowNode(Mail, 'purge', { days: 1 }, {}, [flowNode(Mail, 'send-mail', { to: 'a' })]);
  // @ts-expect-error not a job of the queue
  flowNode(Mail, 'send', { to: 'a' });
  const [stats] = queues.stats();
  assertSame<typeof stats, QueueStats | undefined>(true);
  assertSame<keyof QueueStats['counts'], QueueDiagnostic['event']>(true);
  // @ts-expect-error counted by the queues alone
  stats!.counts.dead = 0;
  // @ts-expect-error no event
  void stats!.counts.retried;
  await dead.replay(Mail, { rate: 10, where: ({ tenantId }) => tenantId === 't' });
}

// @ts-expect-error neither a duration nor a pattern
export const when = Schedule({ at: 'noon' });
