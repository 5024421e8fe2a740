import { isRednestError, type RednestError } from '../common/index.js';
import type { RedisCallError, RedisCommandError } from '../redis/index.js';
import { QueueUnavailableError } from './queue.errors.js';

/** Suggested wait after a failed add, in milliseconds. */
const RETRY_AFTER_MS = 1000;

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

/** The error of a call, in the words of the queue. */
export function toQueueError(queue: string, error: unknown): unknown {
  if (isRednestError(error) && (AWAY.has(error.code) || isFull(error))) {
    const { outcome } = error as unknown as RedisCallError;
    return new QueueUnavailableError(queue, outcome, RETRY_AFTER_MS, { cause: error });
  }
  return error;
}
