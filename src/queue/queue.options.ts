import type { Telemetry } from 'bullmq';
import { ConfigurationError, resolveDuration, resolveWholeNumber, type Duration } from '../common/index.js';

/** Whether this process adds jobs, runs them, or both. */
export type QueueRole = 'producer' | 'worker' | 'both';

/** Options of `QueueModule.forRoot`. */
export interface QueueModuleOptions {
  /** Name of the Redis connection the queues live on. @default 'default' */
  connection?: string;
  /**
   * `producer` starts no workers; `worker` and `both` start the workers of every
   * `@QueueProcessor` after the application has bootstrapped. @default 'both'
   */
  role?: QueueRole;
  /**
   * How long an add may take, waiting for a connection included. 1 ms to 60 s. @default '1s'
   */
  addTimeout?: Duration;
  /** How long completed jobs are kept. @default '1d' */
  keepCompleted?: Duration;
  /** How long failed jobs are kept. @default '7d' */
  keepFailed?: Duration;
  /** How often a job is tried before it counts as failed. Integer >= 1. @default 3 */
  attempts?: number;
  /** Delay before the second attempt; doubles with each further one, half of it random. @default '1s' */
  backoff?: Duration;
  /**
   * How often ended jobs that were kept long enough are removed; a queue on which nothing happens would
   * keep them otherwise. Once per queue and fleet. `null`: never. 1 s to 1 d. @default '10m'
   */
  sweepInterval?: Duration | null;
  /** Tracing of BullMQ, such as `new BullMQOtel('shop')` of `bullmq-otel`; handed on to queues and workers. */
  telemetry?: Telemetry;
}

/** {@link QueueModuleOptions} with every value set, durations in milliseconds. */
export interface ResolvedQueueOptions {
  /** Name of the Redis connection the queues live on. */
  readonly connection: string;
  /** Whether this process adds jobs, runs them, or both. */
  readonly role: QueueRole;
  /** Longest time an add may take. */
  readonly addTimeoutMs: number;
  /** How long completed jobs are kept. */
  readonly keepCompletedMs: number;
  /** How long failed jobs are kept. */
  readonly keepFailedMs: number;
  /** Attempts before a job counts as failed. */
  readonly attempts: number;
  /** Delay before the second attempt; doubles with each further one. */
  readonly backoffMs: number;
  /** How often ended jobs are removed; `null`: never. */
  readonly sweepIntervalMs: number | null;
  /** Tracing of BullMQ. */
  readonly telemetry: Telemetry | undefined;
}

/** Defaults of {@link QueueModuleOptions}. */
export const QUEUE_DEFAULTS = Object.freeze({
  connection: 'default',
  role: 'both',
  addTimeout: '1s',
  keepCompleted: '1d',
  keepFailed: '7d',
  attempts: 3,
  backoff: '1s',
  sweepInterval: '10m',
} as const satisfies Required<Omit<QueueModuleOptions, 'telemetry'>>);

const SWEEP_BOUNDS = { minMs: 1000, maxMs: 86_400_000 };

/**
 * Validates and completes the options.
 *
 * @throws {ConfigurationError} naming the option and the accepted values
 */
export function resolveQueueOptions(input: QueueModuleOptions = {}): ResolvedQueueOptions {
  const options: Required<Omit<QueueModuleOptions, 'telemetry'>> & QueueModuleOptions = {
    ...QUEUE_DEFAULTS,
    ...definedOnly(input),
  };
  if (!['producer', 'worker', 'both'].includes(options.role)) {
    throw new ConfigurationError(
      `Option "queue.role" must be producer, worker or both, not "${options.role}"`,
    );
  }
  return Object.freeze({
    connection: options.connection,
    role: options.role,
    addTimeoutMs: resolveDuration(options.addTimeout, 'queue.addTimeout', { maxMs: 60_000 }),
    keepCompletedMs: resolveDuration(options.keepCompleted, 'queue.keepCompleted', { minMs: 1000 }),
    keepFailedMs: resolveDuration(options.keepFailed, 'queue.keepFailed', { minMs: 1000 }),
    attempts: resolveWholeNumber(options.attempts, 'queue.attempts'),
    backoffMs: resolveDuration(options.backoff, 'queue.backoff'),
    sweepIntervalMs:
      options.sweepInterval === null
        ? null
        : resolveDuration(options.sweepInterval, 'queue.sweepInterval', SWEEP_BOUNDS),
    telemetry: options.telemetry,
  });
}

function definedOnly<T extends object>(input: T): Partial<T> {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as Partial<T>;
}
