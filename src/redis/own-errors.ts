import { isNativeError } from 'node:util/types';
import type { RedisClient } from './client-factory.js';
import { toCallError, type FailedCall } from './error-mapping.js';
import type { CallOptions, RedisExecutor } from './executor.js';
import { RedisCommandError } from './redis.errors.js';

/**
 * Runs a call that contains code of the caller, such as a builder: errors of that code come out
 * unchanged instead of as a failed command.
 */
export async function runKeeping<T>(
  executor: RedisExecutor,
  operation: string,
  call: (client: RedisClient) => Promise<T>,
  options: CallOptions,
): Promise<T> {
  let cause: unknown;
  const recording = async (client: RedisClient): Promise<T> => {
    try {
      return await call(client);
    } catch (error) {
      cause = error;
      throw error;
    }
  };
  return executor.run(operation, recording, options).catch((error: unknown) => {
    throw isForeign(cause, error) ? cause : error;
  });
}

/** The cleaned form of an error of the client; any other error as it is. */
export function ownOrCallError(error: unknown, call: FailedCall): unknown {
  const mapped = toCallError(error, call);
  return isForeign(error, mapped) ? error : mapped;
}

/** An error that neither the server nor the connection caused is mapped to a refusal without a reply. */
function isForeign(cause: unknown, mapped: unknown): boolean {
  if (cause === undefined || cause === mapped || !(mapped instanceof RedisCommandError)) return false;
  return !(isNativeError(cause) && cause.name === 'ReplyError');
}
