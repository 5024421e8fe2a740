import { RednestError } from '../common/index.js';
import type { RateLimitDecision } from './decision.js';

/** Thrown by `RateLimiter.enforce`, `acquire` and `wrap` when a policy has no room. Nothing was counted. */
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

/** Thrown by `RateLimiter.concurrency` when every slot is taken and none came free in time. */
export class ConcurrencyExceededError extends RednestError {
  override readonly name = 'ConcurrencyExceededError';
  override readonly code = 'ERR_CONCURRENCY_EXCEEDED';

  constructor(
    /** Name of the policy. */
    readonly policy: string,
    /** Most that may run at the same time. */
    readonly limit: number,
    /** Milliseconds until a slot comes free at the latest, unless its holder renews it. */
    readonly retryAfterMs: number,
    options?: ErrorOptions,
  ) {
    super(`Concurrency limit "${policy}": all ${limit} slots are taken`, options);
  }
}

/**
 * Reason of `ConcurrencySlot.signal` when a slot could not be renewed before its lease ended: somebody
 * else may hold it by now.
 */
export class ConcurrencySlotLostError extends RednestError {
  override readonly name = 'ConcurrencySlotLostError';
  override readonly code = 'ERR_CONCURRENCY_SLOT_LOST';

  constructor(
    /** Name of the policy. */
    readonly policy: string,
    options?: ErrorOptions,
  ) {
    super(`Concurrency limit "${policy}": the lease of a slot ended before it could be renewed`, options);
  }
}

/** Thrown when a request costs more than a policy can ever let through: no wait would help. */
export class RateLimitCostError extends RednestError {
  override readonly name = 'RateLimitCostError';
  override readonly code = 'ERR_RATE_LIMIT_COST';

  constructor(
    /** Name of the policy. */
    readonly policy: string,
    /** Most units the policy lets through at once. */
    readonly limit: number,
    options?: ErrorOptions,
  ) {
    super(`Rate limit "${policy}": the request costs more than the ${limit} units there ever are`, options);
  }
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ');
}
