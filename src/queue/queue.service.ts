import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { ConfigurationError } from '../common/index.js';
import { ConnectionRegistry, KeyspaceRegistry, type RedisClient } from '../redis/index.js';
import { queueOf } from './job-id.js';
import type { JobView } from './job-view.js';
import { OnceClaims, type NotifyOnceOptions } from './once-claims.js';
import { nameOf, type JobInput, type JobName, type QueueContract } from './queue-contract.js';
import type { QueueName } from './queue-name.js';
import type { OnceResult, QueueProducer } from './queue-producer.js';
import { QueueRecorders, type QueueStats } from './queue-recorder.js';
import { UnknownQueueError } from './queue.errors.js';
import { ONCE_KEYSPACE } from './queue.keyspace.js';
import type { ResolvedQueueOptions } from './queue.options.js';
import { QUEUE_OPTIONS } from './queue.tokens.js';

/** Queues by name, and notifications that are sent once. */
@Injectable()
export class QueueService implements OnModuleInit {
  private readonly producers = new Map<string, QueueProducer>();
  private readonly clashes = new Set<QueueName>();
  private readonly claims: OnceClaims;

  constructor(
    private readonly registry: ConnectionRegistry,
    keyspaces: KeyspaceRegistry,
    private readonly recorders: QueueRecorders,
    @Inject(QUEUE_OPTIONS) private readonly options: ResolvedQueueOptions,
  ) {
    keyspaces.register(ONCE_KEYSPACE);
    registry.capabilities.declare({ capability: 'queues', connection: options.connection, critical: true });
    registry.require(options.connection, 'noeviction', 'queues');
    registry.require(options.connection, 'persistence', 'queues');
    this.claims = new OnceClaims({
      executor: registry.executor(options.connection, 'producer'),
      keyPrefix: registry.configuration.keyPrefix,
      deadlineMs: options.addTimeoutMs,
      producer: (queue) => this.producer(queue),
    });
  }

  /** Names of the registered queues. */
  get names(): readonly QueueName[] {
    return [...this.producers.keys()] as QueueName[];
  }

  /**
   * The producer of a queue.
   *
   * @throws {UnknownQueueError} when no module registered it
   */
  producer<C extends QueueContract>(queue: C): QueueProducer<C>;
  producer(queue: QueueName): QueueProducer;
  producer(queue: QueueName | QueueContract): QueueProducer {
    const name = typeof queue === 'string' ? queue : queue.name;
    const producer = this.producers.get(name);
    if (!producer) throw new UnknownQueueError(name);
    return producer;
  }

  /**
   * What this process did with each queue since the start: a count per event of `DIAGNOSTICS.queue`, for whoever
   * collects numbers from all processes. What Redis holds, and how the fleet is, says `QueueHealthService`.
   */
  stats(): readonly QueueStats[] {
    return this.recorders.snapshot();
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
   * acknowledged is lost. It stays when the job completes; when the job fails for good, `onFinalFailure`
   * decides.
   *
   * @throws {QueueUnavailableError} when Redis did not answer in time; call again with the same key
   * @throws {UnknownQueueError} when no module registered the queue
   * @throws {JobValidationError} when the payload does not match the contract
   * @throws {ConfigurationError} when `ttl` is longer than ended jobs are kept
   */
  notifyOnce<C extends QueueContract, N extends JobName<C>>(
    queue: C,
    jobName: N,
    data: JobInput<C, N>,
    options: NotifyOnceOptions,
  ): Promise<OnceResult>;
  notifyOnce(
    queue: QueueName,
    jobName: string,
    data: unknown,
    options: NotifyOnceOptions,
  ): Promise<OnceResult>;
  notifyOnce(
    queue: QueueName | QueueContract,
    jobName: string,
    data: unknown,
    options: NotifyOnceOptions,
  ): Promise<OnceResult> {
    return this.claims.notify(nameOf(queue), jobName, data, options);
  }

  /**
   * Told once everything is built: a start that fails earlier closes nothing.
   *
   * @throws {ConfigurationError} when a queue was registered with two contracts, or the client that the
   * application brought puts a prefix before its keys
   */
  onModuleInit(): void {
    const faults = [...this.clashes].map(
      (name) => `Queue "${name}" is registered with two contracts; import one contract everywhere`,
    );
    const prefix = clientPrefix(this.registry.client(this.options.connection, 'command'));
    if (prefix) {
      faults.push(
        `The client given to RedisModule has keyPrefix "${prefix}", which BullMQ does not take; ` +
          `remove it from the client, and give RedisModule the option keyPrefix instead`,
      );
    }
    if (faults.length > 0) throw new ConfigurationError(faults);
  }

  /** @internal A clash is told by {@link onModuleInit}. */
  adopt(producer: QueueProducer): QueueProducer {
    const known = this.producers.get(producer.name);
    if (known?.contract && producer.contract && known.contract !== producer.contract) {
      this.clashes.add(producer.name);
    }
    if (known && !producer.contract) return known;
    // Who injected it by its name alone keeps to the contract all the same.
    if (known && !known.contract) known.become(producer);
    if (known) return known;
    this.producers.set(producer.name, producer);
    return producer;
  }
}

/** A Cluster client takes the prefix beside its other options, or among those of its nodes. */
function clientPrefix({ options }: RedisClient): string | undefined {
  const { keyPrefix, redisOptions } = options as {
    keyPrefix?: string;
    redisOptions?: { keyPrefix?: string };
  };
  return keyPrefix || redisOptions?.keyPrefix;
}
