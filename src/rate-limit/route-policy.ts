import type { ExecutionContext } from '@nestjs/common';
import type { Duration } from '../common/index.js';
import type { ConcurrencyPolicy } from './concurrency.js';
import type { Policy } from './policy.js';

/**
 * Tells whom a request counts for, for example its tenant. `undefined`: the policy does not apply to
 * this request. An empty string is an error.
 */
export type RateLimitKeyFunction = (context: ExecutionContext) => string | undefined;

/** Tells how many units a request takes. Whole number; 0: the policy does not apply to this request. */
export type RateLimitCostFunction = (context: ExecutionContext) => number;

/**
 * Whom a request counts for.
 *
 * - `ip`: the client's address
 * - `user`, `tenant`, `api-key`: what the module's `identify` finds; a request without one counts for its
 *   address, with counters of its own
 * - a function: what it returns
 */
export type RateLimitKey = 'ip' | 'user' | 'tenant' | 'api-key' | RateLimitKeyFunction;

/**
 * Which requests share a counter.
 *
 * - `global`: all that are under a policy of this name
 * - `class`: those to one class
 * - `route`: those to one handler
 *
 * Classes and handlers are told apart by their names: two controllers of one name share.
 */
export type RateLimitScope = 'global' | 'class' | 'route';

/**
 * When a policy is applied.
 *
 * - `pre-auth`: by `RateLimitGuard`, before the guards that are bound after it
 * - `post-auth`: by `RateLimitInterceptor`, after all guards, when the user is known
 */
export type RateLimitStage = 'pre-auth' | 'post-auth';

/** A {@link Policy} as guard and interceptor apply it. */
export interface RoutePolicy extends Policy {
  /**
   * Whom a request counts for: `'ip'`, `'user'`, `'tenant'`, `'api-key'`, or what a function says; `undefined`
   * from it means that the policy does not apply. @default 'ip'
   */
  key?: RateLimitKey;
  /**
   * Which requests share the counter.
   * @default 'global' in module options, 'class' on a class, 'route' on a method
   */
  scope?: RateLimitScope;
  /**
   * Whether it is applied before or after authentication.
   * @default 'post-auth' for the keys 'user', 'tenant' and 'api-key' and for `countOnly: 'successes'`, else 'pre-auth'
   */
  stage?: RateLimitStage;
  /**
   * Units a request takes, or a function of the request. Whole number; from a function, 0 means that the policy
   * does not apply. A request that costs more than the policy can ever let through is refused for good (413).
   * @default 1
   */
  cost?: number | RateLimitCostFunction;
  /**
   * Which outcome keeps what a request took; after the other one `RateLimitInterceptor` gives it back. A failure
   * is an error, a status from 400 on, or the refusal of a guard: `'successes'` are counted after all guards.
   * @default both count
   */
  countOnly?: 'failures' | 'successes';
  /**
   * How often a GraphQL operation is charged: once for each identity, however many fields it asks for, or once per
   * field that is under the policy. Always per field when `cost` is a function. @default 'operation'
   */
  charge?: 'operation' | 'field';
}

/** A policy written out, or the name of one from the module's `policies`. */
export type RoutePolicyReference = string | RoutePolicy;

/** How many requests may be in progress at the same time, as `RateLimitInterceptor` applies it. */
export interface RouteConcurrency extends ConcurrencyPolicy {
  /** Whose requests are limited together, as `key` of a policy. @default 'ip' */
  key?: RateLimitKey;
  /** Which requests share the slots. @default 'class' on a class, 'route' on a method */
  scope?: RateLimitScope;
  /** How long a request waits for a slot. Number = milliseconds, or `'5s'`; 0 = not at all. @default 0 */
  maxWait?: Duration;
}

/** Stage of a policy that does not say it itself. What a guard refuses is no success: those are counted after. */
export function defaultStage({
  stage,
  key = 'ip',
  countOnly,
}: Pick<RoutePolicy, 'stage' | 'key' | 'countOnly'>): RateLimitStage {
  if (stage) return stage;
  const isKnownBefore = key === 'ip' || typeof key === 'function';
  return isKnownBefore && countOnly !== 'successes' ? 'pre-auth' : 'post-auth';
}
