import { applyDecorators, Injectable, SetMetadata } from '@nestjs/common';
import { defaultRepeatStrategy, type Job } from 'bullmq';
import { ConfigurationError, resolveDuration, type Duration } from '../common/index.js';
import { nameOf, type JobData, type JobName, type JobReturn, type QueueContract } from './queue-contract.js';
import type { QueueName } from './queue-name.js';

/** Settings of the workers of a processor. */
export interface QueueProcessorOptions {
  /** Jobs run at the same time per queue and process. Integer >= 1. @default 1 */
  concurrency?: number;
  /**
   * How long a job stays with a worker that gives no sign of life; renewed at half of it while the
   * handler runs. 1 s to 1 h. @default '30s'
   */
  lockDuration?: Duration;
  /** How often jobs of workers that died are looked for. 1 s to 1 h. @default '30s' */
  stalledInterval?: Duration;
  /**
   * How often a job may lose its worker before it counts as failed: a job that kills its process must not
   * go round for ever. Integer >= 0. @default 1
   */
  maxStalled?: number;
}

/** What a job handler gets beside the payload. */
export interface JobContext {
  /** The BullMQ job: progress, logs, attempts. `job.data` is the whole envelope. */
  readonly job: Job;
  /** Tenant the job was added for; `null` for jobs of the system itself. */
  readonly tenantId: string | null;
  /** Aborted when the process stops and the time for handlers is over, and when the lock on the job is lost. */
  readonly signal: AbortSignal;
}

/** A job that failed for good, as {@link OnDeadLetter} methods get it. */
export interface DeadLetter {
  /** Queue it was in. */
  readonly queue: QueueName;
  /** Id of the job, unique across queues. */
  readonly jobId: string;
  /** Name of the job in the contract. */
  readonly jobName: string;
  /** Tenant it belongs to; `null` for none. */
  readonly tenantId: string | null;
  /** The payload as it was added. */
  readonly data: unknown;
  /** Message of the last failure. */
  readonly failedReason: string;
  /** How often it was tried. */
  readonly attemptsMade: number;
}

/** @internal */
export interface QueueProcessorMetadata {
  queues: readonly (QueueName | QueueContract)[];
  options: QueueProcessorOptions;
}

/** When a scheduled job runs: every so often, or by a cron pattern. */
export type ScheduleTime =
  | { readonly every: Duration }
  | {
      /** Five or six fields, as in `0 3 * * *`. */
      readonly cron: string;
      /** IANA name, such as `Europe/Prague`. @default 'UTC' */
      readonly tz?: string;
    };

/** Settings of {@link Schedule}. */
export type ScheduleOptions = ScheduleTime & {
  /** Name of the schedule, once per queue. @default the name of the job */
  readonly id?: string;
  /** Payload of every run. @default undefined */
  readonly data?: unknown;
  /** Tenant of every run. @default null */
  readonly tenantId?: string;
};

/** @internal */
export const QUEUE_PROCESSOR = Symbol.for('rednest:queue:processor');
/** @internal */
export const ON_JOB = Symbol.for('rednest:queue:on-job');
/** @internal */
export const ON_DEAD_LETTER = Symbol.for('rednest:queue:on-dead-letter');
/** @internal */
export const SCHEDULE = Symbol.for('rednest:queue:schedule');
/** @internal Name of the handler that takes every job without a handler of its own. */
export const ANY_JOB = '*';

/** `sendMail` for `send-mail`: the name of the method that runs a job. */
export type HandlerName<Job extends string> = Job extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<HandlerName<Tail>>}`
  : Job;

/**
 * What a processor of a contract looks like: a method per job, named like it (`send-mail` is `sendMail`),
 * that takes the payload and returns the result of the contract. Nothing for contracts whose jobs are not
 * known to the compiler, as in a list that was built.
 */
export type JobHandlers<C extends QueueContract> =
  string extends JobName<C>
    ? object
    : {
        [N in C extends QueueContract ? JobName<C> : never as HandlerName<N>]: (
          data: C extends QueueContract ? JobData<C, N & JobName<C>> : never,
          context: JobContext,
        ) => Awaitable<C extends QueueContract ? JobReturn<C, N & JobName<C>> : never>;
      };

type Awaitable<T> = T | Promise<T>;

type Processor<Handlers> = <T extends abstract new (...args: never[]) => Handlers>(target: T) => void;

/**
 * Makes a provider the processor of one or more queues. Its `@OnJob` methods run the jobs; workers
 * start after the application has bootstrapped and stop before anything the provider depends on.
 *
 * With a contract, a job without a handler does not compile, and does not boot.
 *
 * @throws {ConfigurationError} when a name is not of the form `{namespace}__{name}`
 * @example
 * `@QueueProcessor(Reports, { concurrency: 4 })`
 * class ReportProcessor {
 *   `@OnJob('render')` async render(data: RenderData, { signal }: JobContext) { ... }
 * }
 */
export function QueueProcessor<C extends QueueContract>(
  queues: C | readonly C[],
  options?: QueueProcessorOptions,
): Processor<JobHandlers<C>>;
export function QueueProcessor(
  queues: QueueName | readonly QueueName[],
  options?: QueueProcessorOptions,
): ClassDecorator;
export function QueueProcessor(
  queues: QueueName | QueueContract | readonly (QueueName | QueueContract)[],
  options: QueueProcessorOptions = {},
): ClassDecorator {
  const list = isList(queues) ? queues : [queues];
  list.forEach(nameOf);
  const metadata: QueueProcessorMetadata = { queues: list, options };
  return applyDecorators(Injectable(), SetMetadata(QUEUE_PROCESSOR, metadata));
}

function isList<T>(value: T | readonly T[]): value is readonly T[] {
  return Array.isArray(value);
}

/** Shape of a job handler: what it returns is stored as the job's result. */
export type JobHandler = (data: never, context: JobContext) => unknown;

/**
 * Marks the method that runs jobs of a name; without a name, every job no other method takes.
 * Not to be combined with request scope.
 */
export function OnJob(
  name: string = ANY_JOB,
): <T extends JobHandler>(
  target: object,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<T>,
) => void {
  return (_target, _key, descriptor) => {
    Reflect.defineMetadata(ON_JOB, name, descriptor.value as object);
  };
}

/**
 * Marks a method that is told about jobs of the processor's queues that failed for good, jobs that lost
 * their worker too often included. Called in the process whose worker gave the job up. When that process ends just
 * then, or the method throws, another one tells it again: with its start, or with a sweep. So it is told at least
 * once, and once where nothing goes wrong; a method that runs for more than a minute may be called twice. What it
 * throws is logged.
 */
export function OnDeadLetter(): <T extends (letter: DeadLetter) => unknown>(
  target: object,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<T>,
) => void {
  return (_target, _key, descriptor) => {
    Reflect.defineMetadata(ON_DEAD_LETTER, true, descriptor.value as object);
  };
}

/**
 * Runs the job of an `@OnJob` method on a schedule, once per fleet however many processes declare it.
 * A schedule that is taken out of the code stays until `producer.raw.removeJobScheduler(id)`.
 *
 * @throws {ConfigurationError} when the time is neither a duration nor a pattern
 * @example
 * `@OnJob('cleanup')` `@Schedule({ cron: '0 3 * * *', tz: 'Europe/Prague' })`
 * async cleanup() { ... }
 */
export function Schedule(
  options: ScheduleOptions,
): <T extends JobHandler>(
  target: object,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<T>,
) => void {
  if ('every' in options) resolveDuration(options.every, 'schedule.every', { minMs: 1000 });
  else assertCron(options.cron, options.tz);
  return (_target, _key, descriptor) => {
    Reflect.defineMetadata(SCHEDULE, options, descriptor.value as object);
  };
}

/** BullMQ's own reading, which is what runs; it takes fewer fields too, with surprising defaults. */
function assertCron(cron: string, tz = 'UTC'): void {
  let next: unknown;
  try {
    next = defaultRepeatStrategy(Date.now(), { pattern: cron, tz });
  } catch {
    next = undefined;
  }
  if (typeof next === 'number' && cron.trim().split(/\s+/).length >= 5) return;
  throw new ConfigurationError(
    `"${cron}" in time zone "${tz}" is no cron pattern; use five fields, as in "0 3 * * *"`,
  );
}
