import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { ConfigurationError } from '../common/index.js';
import type { RateLimitDecision } from './decision.js';
import { recall } from './request-state.js';
import {
  CONCURRENCY_METADATA,
  metadataHost,
  RATE_LIMIT_METADATA,
  record,
  SKIP_RATE_LIMIT_METADATA,
  type SkippedPolicies,
} from './route-metadata.js';
import { assertRouteConcurrency, assertRoutePolicy } from './route-policy-check.js';
import type { RouteConcurrency, RoutePolicyReference } from './route-policy.js';

/**
 * Limits the requests to a class or handler; needs `RateLimitGuard`, and `RateLimitInterceptor` for policies
 * that are applied after authentication or count one outcome only. The module's default policies no
 * longer apply there. Policies on class and method add up; of two with one name the method's counts.
 *
 * A policy written out counts per class on a class and per route on a method, unless its `scope` says
 * otherwise; a named one counts over the whole application.
 *
 * @throws {ConfigurationError} when a policy cannot be used; an unknown name is reported at start-up
 * @example
 * `@RateLimit('burst', { name: 'login', limit: 5, window: '1m' })`
 */
export function RateLimit(
  ...policies: readonly [RoutePolicyReference, ...RoutePolicyReference[]]
): ClassDecorator & MethodDecorator {
  if (policies.length === 0) throw new ConfigurationError('@RateLimit needs a policy, or the name of one');
  for (const policy of policies) if (typeof policy !== 'string') assertRoutePolicy(policy);
  return (target: object, _key?: string | symbol, descriptor?: PropertyDescriptor): void => {
    const scope = descriptor ? 'route' : 'class';
    const scoped = policies.map((policy) =>
      typeof policy === 'string' ? policy : { ...policy, scope: policy.scope ?? scope },
    );
    record(RATE_LIMIT_METADATA, scoped, metadataHost(target, descriptor));
  };
}

/**
 * Exempts a class or handler from the named policies, or from all when none is named; from `Concurrency`
 * as well. On a class it removes default policies and those of the class, not what a method declares
 * for itself.
 *
 * @example
 * `@SkipRateLimit('burst')`
 */
export function SkipRateLimit(...names: readonly string[]): ClassDecorator & MethodDecorator {
  return (target: object, _key?: string | symbol, descriptor?: PropertyDescriptor): void => {
    const skipped: SkippedPolicies = names.length === 0 ? 'all' : names;
    Reflect.defineMetadata(SKIP_RATE_LIMIT_METADATA, skipped, metadataHost(target, descriptor));
  };
}

/**
 * Limits how many requests to a class or handler are in progress at the same time, over all processes; needs
 * `RateLimitInterceptor`. The slot is free again when the handler has ended and the response is closed, so a
 * stream holds it as long as it runs; a process that dies gives it back after `lease`. Policies on class and
 * method add up by name, as those of `RateLimit`.
 *
 * @throws {ConfigurationError} when the policy cannot be used
 * @example
 * `@Concurrency({ name: 'exports', limit: 4, key: 'user' })`
 */
export function Concurrency(policy: RouteConcurrency): ClassDecorator & MethodDecorator {
  assertRouteConcurrency(policy);
  return (target: object, _key?: string | symbol, descriptor?: PropertyDescriptor): void => {
    const scope = policy.scope ?? (descriptor ? 'route' : 'class');
    record(CONCURRENCY_METADATA, [{ ...policy, scope }], metadataHost(target, descriptor));
  };
}

/**
 * Gives a handler what was decided about its request, a `RateLimitDecision`: remaining units, and the receipt
 * that `RateLimiter.refund` takes. `undefined` when no policy applied, and for WebSocket messages that
 * are no object.
 *
 * @example
 * search(`@RateLimitInfo()` info?: RateLimitDecision) {}
 */
export const RateLimitInfo: () => ParameterDecorator = createParamDecorator(
  (_data: unknown, context: ExecutionContext): RateLimitDecision | undefined => recall(context),
);
