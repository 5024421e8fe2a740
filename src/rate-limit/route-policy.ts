import type { ExecutionContext } from '@nestjs/common';
import type { Policy } from './policy.js';

/**
 * Tells whom a request counts for, for example its tenant. `undefined`: the policy does not apply to
 * this request. An empty string is an error.
 */
export type RateLimitKeyFunction = (context: ExecutionContext) => string | undefined;

/**
 * Which requests share a counter.
 *
 * - `global`: all that are under a policy of this name
 * - `class`: those to one controller class
 * - `route`: those to one handler
 *
 * Classes and handlers are told apart by their names: two controllers of one name share.
 */
export type RateLimitScope = 'global' | 'class' | 'route';

/** A {@link Policy} as the guard applies it. */
export interface RoutePolicy extends Policy {
  /**
   * Whom a request counts for: the client's address, or what a function says; `undefined` from it
   * means that the policy does not apply. @default 'ip'
   */
  key?: 'ip' | RateLimitKeyFunction;
  /**
   * Which requests share the counter.
   * @default 'global' in module options, 'class' on a class, 'route' on a method
   */
  scope?: RateLimitScope;
}

/** A policy written out, or the name of one from the module's `policies`. */
export type RoutePolicyReference = string | RoutePolicy;
