import type { Duration } from '../common/index.js';
import type { RateLimitId } from './identity.js';
import type { Policy } from './policy.js';

/** Per-call settings of `RateLimiter`. */
export interface RateLimitConsumeOptions {
  /**
   * Units to take from every policy, or from some by name (1 from those not named). Whole number, 1 to what
   * the policy can ever let through. @default 1
   */
  cost?: number | Readonly<Record<string, number>>;
}

/** Settings of `RateLimiter.acquire`. */
export interface RateLimitAcquireOptions extends RateLimitConsumeOptions {
  /** How long to wait for room at most. Number = milliseconds, or `'30s'`. @default '30s' */
  maxWait?: Duration;
  /** Ends the wait early; a reserved moment is given back when nobody holds a later one. */
  signal?: AbortSignal;
}

/** Settings of `RateLimiter.wrap`. */
export interface RateLimitWrapOptions extends RateLimitConsumeOptions {
  /** Which outcome keeps what was taken; after the other one it is given back. @default both */
  countOnly?: 'failures' | 'successes';
}

/** One identity of `RateLimiter.consumeAll`. */
export interface RateLimitDemand extends RateLimitConsumeOptions {
  /** Whom the request counts for. */
  readonly id: RateLimitId;
  /** What limits it. */
  readonly policies: Policy | readonly Policy[];
}
