import { RednestError } from '../common/index.js';
import type { RateLimitDecision } from './decision.js';

/** Thrown by `RateLimiter.enforce` when a policy has no room. Nothing was counted. */
export class RateLimitExceededError extends RednestError {
  override readonly name = 'RateLimitExceededError';
  override readonly code = 'ERR_RATE_LIMIT_EXCEEDED';
  /** Milliseconds until all policies have room again, if nobody else comes. */
  readonly retryAfterMs: number;

  constructor(
    /** The refusal, with the state of every policy. */
    readonly decision: RateLimitDecision,
    options?: ErrorOptions,
  ) {
    super(`Rate limit exceeded: ${quoted(decision.violated)}; retry in ${decision.retryAfterMs} ms`, options);
    this.retryAfterMs = decision.retryAfterMs;
  }
}

/**
 * Thrown when Redis gave no decision and a policy says `onError: 'closed'`. The request may have been
 * counted; `cause` is the failure of the call.
 */
export class RateLimitUnavailableError extends RednestError {
  override readonly name = 'RateLimitUnavailableError';
  override readonly code = 'ERR_RATE_LIMIT_UNAVAILABLE';

  constructor(
    /** Names of the policies that were to be evaluated. */
    readonly policies: readonly string[],
    options?: ErrorOptions,
  ) {
    super(`No decision about rate limit ${quoted(policies)}: Redis did not answer`, options);
  }
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ');
}
