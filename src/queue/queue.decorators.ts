import { SetMetadata, applyDecorators, Injectable } from '@nestjs/common';
import type { Job } from 'bullmq';
import type { Duration } from '../common/index.js';
import { assertQueueName, type QueueName } from './queue-name.js';

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
}

/** What a job handler gets beside the payload. */
export interface JobContext {
  /** The BullMQ job: progress, logs, attempts. */
  readonly job: Job;
  /** Tenant the job was added for; `null` for jobs of the system itself. */
  readonly tenantId: string | null;
  /** Aborted when the process stops and the time for handlers is over. */
  readonly signal: AbortSignal;
}

/** @internal */
export interface QueueProcessorMetadata {
  names: readonly QueueName[];
  options: QueueProcessorOptions;
}

/** @internal */
export const QUEUE_PROCESSOR = Symbol.for('rednest:queue:processor');
/** @internal */
export const ON_JOB = Symbol.for('rednest:queue:on-job');
/** @internal Name of the handler that takes every job without a handler of its own. */
export const ANY_JOB = '*';

/**
 * Makes a provider the processor of one or more queues. Its `@OnJob` methods run the jobs; workers
 * start after the application has bootstrapped and stop before anything the provider depends on.
 *
 * @throws {ConfigurationError} when a name is not of the form `{namespace}__{name}`
 * @example
 * `@QueueProcessor('reports__pdf', { concurrency: 4 })`
 * class ReportProcessor {
 *   `@OnJob('render')` async render(data: RenderData, { signal }: JobContext) { ... }
 * }
 */
export function QueueProcessor(
  names: QueueName | readonly QueueName[],
  options: QueueProcessorOptions = {},
): ClassDecorator {
  const list = (typeof names === 'string' ? [names] : names).map(assertQueueName);
  const metadata: QueueProcessorMetadata = { names: list, options };
  return applyDecorators(Injectable(), SetMetadata(QUEUE_PROCESSOR, metadata));
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
