import type { QueueContract } from './queue-contract.js';
import { nameOf } from './queue-contract.js';
import type { QueueName } from './queue-name.js';
import type { ResolvedQueueOptions } from './queue.options.js';

/** The rules of one queue: those of its contract, and of the module where the contract has none. */
export interface QueueSettings {
  /** Name of the queue. */
  readonly name: QueueName;
  /** Absent for a queue that was registered by its name alone. */
  readonly contract: QueueContract | undefined;
  /** How often a job is tried. */
  readonly attempts: number;
  /** Delay before the second attempt; it doubles from there. */
  readonly backoffMs: number;
  /** How long completed jobs are kept. */
  readonly keepCompletedMs: number;
  /** How long failed jobs are kept. */
  readonly keepFailedMs: number;
}

/** @throws {ConfigurationError} when the name is not of the form `{namespace}__{name}` */
export function settingsOf(queue: QueueName | QueueContract, options: ResolvedQueueOptions): QueueSettings {
  const contract = typeof queue === 'string' ? undefined : queue;
  return {
    name: nameOf(queue),
    contract,
    attempts: contract?.attempts ?? options.attempts,
    backoffMs: contract?.backoffMs ?? options.backoffMs,
    keepCompletedMs: contract?.keepCompletedMs ?? options.keepCompletedMs,
    keepFailedMs: contract?.keepFailedMs ?? options.keepFailedMs,
  };
}

/** Options of BullMQ that hold for every job of a queue. */
export function defaultJobOptions(settings: QueueSettings) {
  return {
    attempts: settings.attempts,
    backoff: { type: 'exponential', delay: settings.backoffMs, jitter: 0.5 },
    removeOnComplete: { age: Math.ceil(settings.keepCompletedMs / 1000) },
    removeOnFail: { age: Math.ceil(settings.keepFailedMs / 1000) },
    stackTraceLimit: 20,
  };
}
