import { RednestError } from '../common/index.js';

/**
 * Thrown at start-up when the `credentials` function of a connection fails, does not answer in time, or
 * answers something that cannot be a login. Its own error is not attached: it may hold a secret.
 */
export class RedisCredentialsError extends RednestError {
  override readonly name = 'RedisCredentialsError';
  override readonly code = 'ERR_REDIS_CREDENTIALS';

  constructor(
    /** Configured name of the server. */
    readonly connection: string,
    /** Code or class name of the failure, such as `ETIMEDOUT`, `TypeError`, `EXPIRED`, `INVALID`. */
    readonly reason: string,
  ) {
    super(
      `The credentials function of Redis connection "${connection}" failed: ${reason}; ` +
        'it must resolve to { username?, password, expiresAt? } with a date in the future',
    );
  }
}
