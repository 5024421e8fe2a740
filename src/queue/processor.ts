import { ConfigurationError, resolveDuration, resolveWholeNumber } from '../common/index.js';
import { JobDispatcher } from './job-dispatcher.js';
import { checkValue } from './job-schema.js';
import { markedMethods } from './processor-methods.js';
import type { QueueContext } from './queue-context.js';
import type { QueueContract } from './queue-contract.js';
import type { QueueName } from './queue-name.js';
import {
  ANY_JOB,
  ON_DEAD_LETTER,
  ON_JOB,
  SCHEDULE,
  type DeadLetter,
  type QueueProcessorMetadata,
  type QueueProcessorOptions,
  type ScheduleOptions,
} from './queue.decorators.js';
import { JobValidationError } from './queue.errors.js';

/** A schedule with the job it starts. */
export interface JobSchedule {
  readonly jobName: string;
  readonly options: ScheduleOptions;
}

/** Settings of a processor with every value set. */
export interface ResolvedProcessorOptions {
  readonly concurrency: number;
  readonly lockDurationMs: number;
  readonly stalledIntervalMs: number;
  readonly maxStalled: number;
}

/** A provider with `@QueueProcessor`: what its methods are for, checked against its contracts. */
export class Processor {
  /** Queues it works for. */
  readonly queues: readonly (QueueName | QueueContract)[];
  readonly dispatcher: JobDispatcher;
  readonly options: ResolvedProcessorOptions;
  readonly schedules: readonly JobSchedule[];
  private readonly mourners: readonly ((letter: DeadLetter) => unknown)[];

  /** @throws {ConfigurationError} when a job has no handler, or a handler no job */
  constructor(
    /** The provider. */
    readonly instance: object,
    metadata: QueueProcessorMetadata,
    context: QueueContext,
  ) {
    this.queues = metadata.queues;
    this.options = resolveProcessorOptions(metadata.options);
    this.dispatcher = new JobDispatcher(instance, context);
    if (this.dispatcher.jobNames.length === 0) {
      throw new ConfigurationError(`Processor ${instance.constructor.name} has no method with @OnJob`);
    }
    const contracts = metadata.queues.filter((queue): queue is QueueContract => typeof queue !== 'string');
    this.dispatcher.assertHandles(contracts);
    this.schedules = schedulesOf(instance, contracts);
    this.mourners = [...markedMethods<true>(instance, ON_DEAD_LETTER)].map(
      ({ method }) => method as (letter: DeadLetter) => unknown,
    );
  }

  /** Tells its `@OnDeadLetter` methods, one after another. */
  async mourn(letter: DeadLetter): Promise<void> {
    for (const mourner of this.mourners) await mourner(letter);
  }

  /** Whether anybody wants to know about jobs that failed for good. */
  get mourns(): boolean {
    return this.mourners.length > 0;
  }
}

/** Methods that carry both a job and a schedule. */
function schedulesOf(instance: object, contracts: readonly QueueContract[]): JobSchedule[] {
  const jobs = new Map([...markedMethods<string>(instance, ON_JOB)].map(({ key, mark }) => [key, mark]));
  return [...markedMethods<ScheduleOptions>(instance, SCHEDULE)].map(({ key, mark: options }) => {
    const jobName = jobs.get(key);
    if (jobName === undefined || jobName === ANY_JOB) {
      throw new ConfigurationError(
        `${instance.constructor.name}.${String(key)} has @Schedule and no @OnJob with a name; add one`,
      );
    }
    const owned = contracts.find(({ tenant, jobs: declared }) => tenant && Object.hasOwn(declared, jobName));
    if (owned && options.tenantId === undefined) {
      throw new ConfigurationError(
        `The schedule of job "${jobName}" has no tenant; give it a tenantId, or define queue ` +
          `"${owned.name}" with tenant: false`,
      );
    }
    for (const contract of contracts) checkSchedule(contract, jobName, options);
    return { jobName, options };
  });
}

/** A schema that checks asynchronously is left to the worker: a start does not wait for it. */
function checkSchedule({ name, jobs }: QueueContract, jobName: string, { data }: ScheduleOptions): void {
  const schemas = Object.hasOwn(jobs, jobName) ? jobs[jobName] : undefined;
  if (!schemas) return;
  try {
    const checked = checkValue(schemas.data, data, { queue: name, jobName, part: 'data' });
    if (checked instanceof Promise) checked.catch(() => undefined);
  } catch (error) {
    if (!(error instanceof JobValidationError)) throw error;
    throw new ConfigurationError(`The schedule of job "${jobName}" cannot run: ${error.message}`);
  }
}

const STALL_BOUNDS = { minMs: 1000, maxMs: 3_600_000 };

function resolveProcessorOptions(options: QueueProcessorOptions): ResolvedProcessorOptions {
  const { concurrency = 1, lockDuration = '30s', stalledInterval = '30s', maxStalled = 1 } = options;
  return {
    concurrency: resolveWholeNumber(concurrency, '@QueueProcessor.concurrency'),
    lockDurationMs: resolveDuration(lockDuration, '@QueueProcessor.lockDuration', STALL_BOUNDS),
    stalledIntervalMs: resolveDuration(stalledInterval, '@QueueProcessor.stalledInterval', STALL_BOUNDS),
    maxStalled: resolveWholeNumber(maxStalled, '@QueueProcessor.maxStalled', { min: 0 }),
  };
}
