import { jsonCodec, type Duration } from '../common/index.js';
import type { RedisExecutor } from '../redis/index.js';
import { toQueueError } from './queue-failure.js';
import type { OnceResult, OnFinalFailure, QueueProducer } from './queue-producer.js';
import type { QueueName } from './queue-name.js';
import { ONCE_KEYSPACE } from './queue.keyspace.js';
import { CLAIM_ONCE, SETTLE_ONCE } from './queue.scripts.js';

/** What makes two notifications the same one. */
export interface NotifyOnceOptions {
  /** Tenant the notification belongs to. */
  tenantId: string;
  /** Kind of notification, such as `invoice-due`. */
  type: string;
  /** What it is about, such as an invoice number. */
  dedupeKey: string;
  /** Deduplication window. At most as long as ended jobs of the queue are kept. @default '1d' */
  ttl?: Duration;
  /** Whether the notification may be sent again when its job fails for good. @default 'keep' */
  onFinalFailure?: OnFinalFailure;
}

/** A job somebody claimed the deduplication key for. */
interface Claim {
  jobId: string;
  state: 'claimed' | 'queued';
  queue: QueueName;
  jobName: string;
  data: unknown;
  /** As the caller wanted it that made the claim, whoever finishes it. */
  onFinalFailure: OnFinalFailure;
}

/** Constructor arguments of {@link OnceClaims}. */
export interface OnceClaimsInit {
  executor: RedisExecutor;
  keyPrefix: string;
  deadlineMs: number;
  producer: (queue: QueueName) => QueueProducer;
}

/** Claims of notifications that are sent once, whichever queue they go to. */
export class OnceClaims {
  constructor(private readonly init: OnceClaimsInit) {}

  /** Adds the job, finishes the add of a caller that crashed, or tells which job there is. */
  async notify(
    queue: QueueName,
    jobName: string,
    data: unknown,
    options: NotifyOnceOptions,
  ): Promise<OnceResult> {
    const producer = this.init.producer(queue);
    // A claim for a job that cannot be added would keep the key from those that can.
    await producer.intake.checkStorable(jobName, data);
    const { tenantId, type, dedupeKey, onFinalFailure = 'keep', ttl = '1d' } = options;
    const ttlMs = producer.intake.onceTtlMs(ttl);
    const jobId = producer.newJobId();
    const mine: Claim = { jobId, state: 'claimed', queue, jobName, data, onFinalFailure };
    const key = ONCE_KEYSPACE.key(this.init.keyPrefix, tenantId, type, dedupeKey);
    const held = await this.claim(key, mine, ttlMs);
    if (held?.state !== 'queued') {
      await this.enqueue(key, held ?? mine, tenantId);
    }
    if (!held) return { jobId, deduplicated: false };
    producer.recorder.record('deduplicated', () => ({ jobName, jobId: held.jobId, tenantId }));
    return { jobId: held.jobId, deduplicated: true };
  }

  private async claim(key: string, mine: Claim, ttlMs: number): Promise<Claim | undefined> {
    const { jobId, queue, jobName, data, onFinalFailure } = mine;
    const reply = await this.run(queue, () =>
      this.init.executor.script(
        'queue.once.claim',
        CLAIM_ONCE,
        [key],
        [jobId, queue, jobName, jsonCodec.encode(data ?? null), ttlMs, onFinalFailure],
        { deadlineMs: this.init.deadlineMs },
      ),
    );
    return reply.length === 0 ? undefined : readClaim(reply);
  }

  /** Adding is idempotent by job id, so any caller may do it, also several at once. */
  private async enqueue(key: string, claim: Claim, tenantId: string): Promise<void> {
    const { jobId, queue, jobName, data, onFinalFailure } = claim;
    const { executor, deadlineMs } = this.init;
    await this.init
      .producer(queue)
      .insert(jobName, data, tenantId, { jobId }, onFinalFailure === 'release' ? key : undefined);
    await this.run(queue, () =>
      executor.script('queue.once.settle', SETTLE_ONCE, [key], [jobId], { deadlineMs, idempotent: true }),
    );
  }

  private async run<T>(queue: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      throw toQueueError(queue, error);
    }
  }
}

function readClaim([jobId, state, queue, jobName, data, onFinalFailure]: readonly (string | null)[]): Claim {
  return {
    jobId: jobId!,
    state: state as Claim['state'],
    queue: queue as QueueName,
    jobName: jobName!,
    data: data === null || data === undefined ? undefined : jsonCodec.decode(data),
    onFinalFailure: onFinalFailure === 'release' ? 'release' : 'keep',
  };
}
