import { randomUUID } from 'node:crypto';
import type { JobsOptions, Queue } from 'bullmq';
import { escapeKeyPart, type Duration, type QueueDiagnostic } from '../common/index.js';
import type { CallOptions, LuaScript, RedisClient, RedisExecutor, ScriptArguments } from '../redis/index.js';
import { insertJob, type Inserted, type Insertion } from './job-insert.js';
import { JobIntake } from './job-intake.js';
import { toJobView, type JobView } from './job-view.js';
import type { QueueContext } from './queue-context.js';
import type { JobInput, JobName, QueueContract } from './queue-contract.js';
import { toQueueError } from './queue-failure.js';
import type { QueueName } from './queue-name.js';
import type { QueueRecorder } from './queue-recorder.js';
import type { QueueSettings } from './queue-settings.js';

/** Options of {@link QueueProducer.add}. */
export interface AddJobOptions extends Pick<
  JobsOptions,
  'delay' | 'priority' | 'attempts' | 'backoff' | 'lifo'
> {
  /** Tenant the job belongs to. @default that of the {@link QueueContext}, else `null` */
  tenantId?: string | null;
  /** Own job id, made by {@link QueueProducer.newJobId}. Adding the same id again adds nothing. */
  jobId?: string;
}

/** What becomes of a deduplication key when its job fails for good. */
export type OnFinalFailure = 'keep' | 'release';

/** Options of {@link QueueProducer.once}. */
export interface OnceOptions extends AddJobOptions {
  /** What makes two jobs of a tenant and name the same one. */
  key: string;
  /** How long the key stays taken, also after the job ended. At most as long as ended jobs are kept. @default '1d' */
  ttl?: Duration;
  /** Whether the key is free again when the job fails for good. @default 'keep' */
  onFinalFailure?: OnFinalFailure;
}

/** Answer of {@link QueueProducer.once} and of `QueueService.notifyOnce`. */
export interface OnceResult {
  /** The job that carries the notification, whoever added it. */
  readonly jobId: string;
  /** `true` when the notification had been taken before. */
  readonly deduplicated: boolean;
}

/** Stands for no tenant in a deduplication id; no escaped tenant looks like it. */
const NO_TENANT = '%';

/** @internal Stands in the envelope for the key that BullMQ keeps itself. */
export const DEDUPLICATION_CLAIM = '*';

/** @internal Constructor arguments of {@link QueueProducer}. */
export interface QueueProducerInit {
  settings: QueueSettings;
  raw: Queue;
  executor: RedisExecutor;
  addTimeoutMs: number;
  context: QueueContext;
  recorder: QueueRecorder;
}

type InsertOptions = JobsOptions & { jobId: string };

/**
 * Adds jobs to one queue. An add ends within the module's `addTimeout` whatever Redis does, and its
 * error says whether the job may be queued. With a contract as its type it takes the jobs of that contract
 * only, and checks their payloads.
 */
export class QueueProducer<C extends QueueContract = QueueContract> {
  /** Every call may be sent again: reads are harmless, and adds carry the id of their job. */
  private readonly callOptions: Readonly<CallOptions>;

  /** @internal What its jobs have to fulfil. */
  intake: JobIntake;

  /** @internal */
  constructor(private init: QueueProducerInit) {
    this.callOptions = Object.freeze({ deadlineMs: init.addTimeoutMs, idempotent: true });
    this.intake = new JobIntake(init.settings, init.context);
  }

  /** @internal Takes over the contract, and what hangs on it, of a later registration of the same queue. */
  become(other: QueueProducer): void {
    this.init = other.init;
    this.intake = other.intake;
  }

  /** Name of the queue, without the key prefix. */
  get name(): QueueName {
    return this.init.settings.name;
  }

  /** What the queue was registered with; `undefined` for a name alone. */
  get contract(): QueueContract | undefined {
    return this.init.settings.contract;
  }

  /** How long ended jobs are kept, attempts and back-off. */
  get settings(): QueueSettings {
    return this.init.settings;
  }

  /** @internal Counts what happens in the queue. */
  get recorder(): QueueRecorder {
    return this.init.recorder;
  }

  /** The BullMQ queue, for everything this class does not cover. */
  get raw(): Queue {
    return this.init.raw;
  }

  /** A new, globally unique job id that names its queue. */
  newJobId(): string {
    return `${this.name}.${randomUUID()}`;
  }

  /**
   * Adds a job. One round trip.
   *
   * @returns the job's id
   * @throws {JobValidationError} when the payload does not match the contract
   * @throws {MissingTenantError} when the queue's jobs belong to tenants and there is none
   * @throws {QueueUnavailableError} when Redis did not take the job in time
   * @throws {RedisCommandError} when Redis refused it, for example for lack of memory
   */
  add<N extends JobName<C>>(jobName: N, data: JobInput<C, N>, options: AddJobOptions = {}): Promise<string> {
    const { tenantId, jobId = this.newJobId(), ...jobOptions } = options;
    return this.insert(jobName, data, tenantId, { ...jobOptions, jobId });
  }

  /**
   * Adds a job unless one with the same tenant, name and key was added within `ttl`: atomic, one round
   * trip. The key is visible as `<prefix>:queue:{<queue>}:<queue>:de:<tenant>:<job>:<key>`, with its time
   * to live, and stays when the job completes.
   *
   * For a key that several queues share, use `QueueService.notifyOnce`.
   *
   * @throws the errors of {@link add}
   * @throws {ConfigurationError} when `ttl` is longer than ended jobs are kept
   */
  async once<N extends JobName<C>>(
    jobName: N,
    data: JobInput<C, N>,
    options: OnceOptions,
  ): Promise<OnceResult> {
    const { key, ttl = '1d', onFinalFailure = 'keep', tenantId, jobId: own, ...jobOptions } = options;
    const mine = own ?? this.newJobId();
    const owner = this.intake.tenantOf(jobName, tenantId);
    const id = [
      owner === null ? NO_TENANT : escapeKeyPart(owner),
      escapeKeyPart(jobName),
      escapeKeyPart(key),
    ].join(':');
    const deduplication = { id, ttl: this.intake.onceTtlMs(ttl) };
    const claim = onFinalFailure === 'release' ? DEDUPLICATION_CLAIM : undefined;
    const jobId = await this.insert(
      jobName,
      data,
      owner,
      { ...jobOptions, jobId: mine, deduplication },
      claim,
    );
    return { jobId, deduplicated: jobId !== mine };
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

  /**
   * Runs a call to BullMQ under the deadline and the errors of the queue. It may be sent again: reads are
   * harmless, and adds carry the id of their job.
   *
   * @internal
   */
  async call<T>(operation: string, run: (client: RedisClient) => Promise<T>): Promise<T> {
    try {
      return await this.init.executor.run(operation, run, this.callOptions);
    } catch (error) {
      throw toQueueError(this.name, error);
    }
  }

  /**
   * Runs a read-only script under the deadline and the errors of the queue.
   *
   * @internal
   */
  async script<Keys extends ScriptArguments, Args extends ScriptArguments, Reply>(
    operation: string,
    script: LuaScript<Keys, Args, Reply>,
    keys: Keys,
    args: Args,
  ): Promise<Reply> {
    try {
      return await this.init.executor.script(operation, script, keys, args, this.callOptions);
    } catch (error) {
      throw toQueueError(this.name, error);
    }
  }

  /**
   * Checks and adds a job.
   *
   * @param claim key of a claim that ends when the job fails for good
   * @returns id of the job, or of the one it is a duplicate of
   * @internal
   */
  async insert(
    jobName: string,
    data: unknown,
    tenantId: string | null | undefined,
    options: InsertOptions,
    claim?: string,
  ): Promise<string> {
    const { intake } = this;
    const owner = intake.tenantOf(jobName, tenantId);
    intake.refuseOrder(options);
    const checked = intake.checkStorable(jobName, data);
    if (checked instanceof Promise) await checked;
    const stored = intake.wrap(data, owner, claim);
    const job: Insertion = options.delay
      ? { name: jobName, data: stored, options: { ...options, ...intake.laterOptions } }
      : { name: jobName, data: stored, options, turn: intake.turnOf(owner) };
    const { jobId } = options;
    let inserted: Inserted;
    try {
      inserted = await this.init.executor.run(
        'queue.add',
        (client) => insertJob(this.raw, client, job),
        this.callOptions,
      );
    } catch (error) {
      this.record('add-failed', jobName, jobId, owner);
      throw toQueueError(this.name, error);
    }
    if (inserted.exhausted) this.record('fairness-exhausted', jobName, inserted.jobId, owner);
    this.record(inserted.jobId === jobId ? 'added' : 'deduplicated', jobName, inserted.jobId, owner);
    return inserted.jobId;
  }

  private record(
    event: QueueDiagnostic['event'],
    jobName: string,
    jobId: string,
    tenantId: string | null,
  ): void {
    const { recorder } = this;
    recorder.count(event);
    if (!recorder.isHeard) return;
    recorder.publish(event, { jobName, jobId, ...(tenantId === null ? {} : { tenantId }) });
  }
}
