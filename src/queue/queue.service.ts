import { Inject, Injectable } from '@nestjs/common';
import {
  DIAGNOSTICS,
  DiagnosticsPublisher,
  jsonCodec,
  resolveDuration,
  type Duration,
  type QueueDiagnostic,
} from '../common/index.js';
import { ConnectionRegistry, KeyspaceRegistry, type RedisExecutor } from '../redis/index.js';
import { queueOf } from './job-id.js';
import type { JobView } from './job-view.js';
import type { QueueName } from './queue-name.js';
import { toQueueError, type QueueProducer } from './queue-producer.js';
import { UnknownQueueError } from './queue.errors.js';
import { ONCE_KEYSPACE } from './queue.keyspace.js';
import type { ResolvedQueueOptions } from './queue.options.js';
import { CLAIM_ONCE, SETTLE_ONCE } from './queue.scripts.js';
import { QUEUE_OPTIONS } from './queue.tokens.js';

/** What makes two notifications the same one. */
export interface NotifyOnceOptions {
  /** Tenant the notification belongs to. */
  tenantId: string;
  /** Kind of notification, such as `invoice-due`. */
  type: string;
  /** What it is about, such as an invoice number. */
  dedupeKey: string;
  /** Deduplication window. @default '1d' */
  ttl?: Duration;
}

/** Answer of {@link QueueService.notifyOnce}. */
export interface OnceResult {
  /** The job that carries the notification, whoever added it. */
  readonly jobId: string;
  /** `true` when the notification had been taken before. */
  readonly deduplicated: boolean;
}

/** A job somebody claimed the deduplication key for. */
interface Claim {
  jobId: string;
  state: 'claimed' | 'queued';
  queue: QueueName;
  jobName: string;
  data: unknown;
}

/** Queues by name, and notifications that are sent once. */
@Injectable()
export class QueueService {
  private readonly producers = new Map<string, QueueProducer>();
  private readonly executor: RedisExecutor;
  private readonly keyPrefix: string;
  private readonly diagnostics = new DiagnosticsPublisher<QueueDiagnostic>(DIAGNOSTICS.queue);

  constructor(
    registry: ConnectionRegistry,
    keyspaces: KeyspaceRegistry,
    @Inject(QUEUE_OPTIONS) private readonly options: ResolvedQueueOptions,
  ) {
    keyspaces.register(ONCE_KEYSPACE);
    this.executor = registry.executor(options.connection, 'producer');
    registry.capabilities.declare({ capability: 'queues', connection: options.connection, critical: true });
    registry.require(options.connection, 'noeviction', 'queues');
    registry.require(options.connection, 'persistence', 'queues');
    this.keyPrefix = registry.configuration.keyPrefix;
  }

  /** Names of the registered queues. */
  get names(): readonly string[] {
    return [...this.producers.keys()];
  }

  /**
   * The producer of a queue.
   *
   * @throws {UnknownQueueError} when no module registered it
   */
  producer(name: QueueName): QueueProducer {
    const producer = this.producers.get(name);
    if (!producer) throw new UnknownQueueError(name);
    return producer;
  }

  /**
   * Looks up a job by an id that {@link QueueProducer.add} or {@link notifyOnce} gave out. Two round
   * trips.
   *
   * @returns `undefined` when there is no such job, or it belongs to another tenant
   * @throws {QueueUnavailableError} when Redis did not answer in time
   */
  async find(jobId: string, tenantId: string | null): Promise<JobView | undefined> {
    const producer = this.producers.get(queueOf(jobId) ?? '');
    return producer?.find(jobId, tenantId);
  }

  /**
   * Adds a job unless the same notification (tenant, type and key, whatever the queue) was taken
   * within the window. Concurrent callers get the same job. Three round trips for the first caller,
   * one for those after it.
   *
   * The claim keeps the job until it is known to be queued: when an add fails, the next caller with
   * the same key finishes it, under the same job id, so nothing is sent twice and nothing that was
   * acknowledged is lost.
   *
   * @throws {QueueUnavailableError} when Redis did not answer in time; call again with the same key
   * @throws {UnknownQueueError} when no module registered the queue
   */
  async notifyOnce(
    queue: QueueName,
    jobName: string,
    data: unknown,
    options: NotifyOnceOptions,
  ): Promise<OnceResult> {
    const producer = this.producer(queue);
    const mine: Claim = { jobId: producer.newJobId(), state: 'claimed', queue, jobName, data };
    const key = ONCE_KEYSPACE.key(this.keyPrefix, options.tenantId, options.type, options.dedupeKey);
    const held = await this.claim(key, mine, options);
    if (held?.state !== 'queued') await this.enqueue(key, held ?? mine, options.tenantId);
    const { jobId } = held ?? mine;
    if (held) this.diagnostics.publish(() => ({ event: 'deduplicated', queue, jobName, jobId }));
    return { jobId, deduplicated: held !== undefined };
  }

  /** @internal */
  adopt(producer: QueueProducer): QueueProducer {
    this.producers.set(producer.name, producer);
    return producer;
  }

  private async claim(
    key: string,
    mine: Claim,
    { ttl = '1d' }: NotifyOnceOptions,
  ): Promise<Claim | undefined> {
    const ttlMs = resolveDuration(ttl, 'ttl', { minMs: 1000 });
    const { jobId, queue, jobName, data } = mine;
    const reply = await this.run(queue, () =>
      this.executor.script(
        'queue.once.claim',
        CLAIM_ONCE,
        [key],
        [jobId, queue, jobName, jsonCodec.encode(data ?? null), ttlMs],
        { deadlineMs: this.options.addTimeoutMs },
      ),
    );
    return reply.length === 0 ? undefined : readClaim(reply);
  }

  /** Adding is idempotent by job id, so any caller may do it, also several at once. */
  private async enqueue(key: string, claim: Claim, tenantId: string): Promise<void> {
    const { jobId, queue, jobName, data } = claim;
    await this.producer(queue).add(jobName, data, { jobId, tenantId });
    await this.run(queue, () =>
      this.executor.script('queue.once.settle', SETTLE_ONCE, [key], [jobId], {
        deadlineMs: this.options.addTimeoutMs,
        idempotent: true,
      }),
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

function readClaim([jobId, state, queue, jobName, data]: readonly (string | null)[]): Claim {
  return {
    jobId: jobId!,
    state: state as Claim['state'],
    queue: queue as QueueName,
    jobName: jobName!,
    data: data === null || data === undefined ? undefined : jsonCodec.decode(data),
  };
}
