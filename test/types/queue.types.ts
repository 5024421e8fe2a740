// Must compile as it stands: every line under "@ts-expect-error" must not.
import type { DynamicModule } from '@nestjs/common';
import {
  assertQueueName,
  InjectQueueProducer,
  OnJob,
  QueueModule,
  QueueProcessor,
  resolveQueueOptions,
  type JobContext,
  type JobView,
  type OnceResult,
  type QueueName,
  type QueueProducer,
  type QueueService,
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
