import { randomUUID } from 'node:crypto';
import type { JobsOptions, Queue } from 'bullmq';
import {
  DIAGNOSTICS,
  DiagnosticsPublisher,
  isRednestError,
  type QueueDiagnostic,
  type RednestError,
} from '../common/index.js';
import type { RedisCallError, RedisCommandError, RedisExecutor } from '../redis/index.js';
import { envelope } from './job-envelope.js';
import { toJobView, type JobView } from './job-view.js';
import type { QueueName } from './queue-name.js';
import { QueueUnavailableError } from './queue.errors.js';

/** Options of {@link QueueProducer.add}. */
export interface AddJobOptions extends Pick<
  JobsOptions,
  'delay' | 'priority' | 'attempts' | 'backoff' | 'lifo'
> {
  /** Tenant the job belongs to. @default null */
  tenantId?: string | null;
  /** Own job id, made by {@link QueueProducer.newJobId}. Adding the same id again adds nothing. */
  jobId?: string;
}

/** Suggested wait after a failed add, in milliseconds. */
const RETRY_AFTER_MS = 1000;

/**
 * Adds jobs to one queue. An add ends within the module's `addTimeout` whatever Redis does, and its
 * error says whether the job may be queued.
 */
export class QueueProducer {
  private readonly diagnostics = new DiagnosticsPublisher<QueueDiagnostic>(DIAGNOSTICS.queue);

  /** @internal */
  constructor(
    /** Name of the queue, without the key prefix. */
    readonly name: QueueName,
    /** The BullMQ queue, for everything this class does not cover. */
    readonly raw: Queue,
    private readonly executor: RedisExecutor,
    private readonly addTimeoutMs: number,
  ) {}

  /** A new, globally unique job id that names its queue. */
  newJobId(): string {
    return `${this.name}.${randomUUID()}`;
  }

  /**
   * Adds a job. One round trip.
   *
   * @returns the job's id
   * @throws {QueueUnavailableError} when Redis did not take the job in time
   * @throws {RedisCommandError} when Redis refused it, for example for lack of memory
   */
  async add(jobName: string, data: unknown, options: AddJobOptions = {}): Promise<string> {
    const { tenantId = null, jobId = this.newJobId(), ...jobOptions } = options;
    const insert = () => this.raw.add(jobName, envelope(data, tenantId), { ...jobOptions, jobId });
    try {
      await this.call('queue.add', insert);
    } catch (error) {
      this.publish({ event: 'add-failed', queue: this.name, jobName, jobId });
      throw error;
    }
    this.publish({ event: 'added', queue: this.name, jobName, jobId });
    return jobId;
  }

  /**
   * Looks a job up. Two round trips, three when it ends in between.
   *
   * @returns `undefined` when there is no such job, or it belongs to another tenant
   * @throws {QueueUnavailableError} when Redis did not answer in time
   */
  find(jobId: string, tenantId: string | null): Promise<JobView | undefined> {
    return this.call('queue.find', async () => {
      // The state first: a job that was completed by then has its result when it is read.
      let state = await this.raw.getJobState(jobId);
      const job = await this.raw.getJob(jobId);
      if (!job) return undefined;
      const endedMeanwhile = job.finishedOn !== undefined && state !== 'completed' && state !== 'failed';
      if (endedMeanwhile) state = await this.raw.getJobState(jobId);
      const view = toJobView(job, state);
      return view.tenantId === tenantId ? view : undefined;
    });
  }

  /** Every call may be sent again: reads are harmless, and an add carries the id of its job. */
  private async call<T>(operation: string, run: () => Promise<T>): Promise<T> {
    try {
      return await this.executor.run(operation, run, { deadlineMs: this.addTimeoutMs, idempotent: true });
    } catch (error) {
      throw toQueueError(this.name, error);
    }
  }

  private publish(message: QueueDiagnostic): void {
    this.diagnostics.publish(() => message);
  }
}

/** Codes that mean the server cannot be used now. */
const AWAY: ReadonlySet<string> = new Set([
  'ERR_REDIS_UNAVAILABLE',
  'ERR_REDIS_TIMEOUT',
  'ERR_REDIS_OVERLOADED',
]);

/** Replies of a server that takes no writes now: memory, disk or replicas are missing, or it is a replica. */
const NO_WRITES: ReadonlySet<string> = new Set(['OOM', 'MISCONF', 'NOREPLICAS', 'READONLY']);

function isFull(error: RednestError): boolean {
  return NO_WRITES.has((error as Partial<RedisCommandError>).reply ?? '');
}

/** @internal */
export function toQueueError(queue: string, error: unknown): unknown {
  if (isRednestError(error) && (AWAY.has(error.code) || isFull(error))) {
    const { outcome } = error as unknown as RedisCallError;
    return new QueueUnavailableError(queue, outcome, RETRY_AFTER_MS, { cause: error });
  }
  return error;
}
