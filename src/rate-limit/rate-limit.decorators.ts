import 'reflect-metadata';
import { ConfigurationError } from '../common/index.js';
import { assertRoutePolicy } from './rate-limit.options.js';
import type { RoutePolicyReference } from './route-policy.js';

/** @internal Metadata key of {@link RateLimit}: a list of policies and names. */
export const RATE_LIMIT_METADATA = Symbol.for('rednest:rate-limit:policies');

/** @internal Metadata key of {@link SkipRateLimit}: names, or `'all'`. */
export const SKIP_RATE_LIMIT_METADATA = Symbol.for('rednest:rate-limit:skip');

/** What {@link SkipRateLimit} recorded. */
export type SkippedPolicies = 'all' | readonly string[];

/**
 * Limits the requests to a controller or handler; needs `RateLimitGuard`. The module's default
 * policies no longer apply there. Policies on class and method add up; of two with one name the
 * method's counts.
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
    const host = metadataHost(target, descriptor);
    // Decorators run from the bottom up; in front keeps the order they are read in.
    Reflect.defineMetadata(RATE_LIMIT_METADATA, [...scoped, ...own(host, RATE_LIMIT_METADATA)], host);
  };
}

/**
 * Exempts a controller or handler from the named policies, or from all when none is named. On a
 * class it removes default policies and those of the class, not what a method declares for itself.
 *
 * @example
 * `@SkipRateLimit('burst')`
 */
export function SkipRateLimit(...names: readonly string[]): ClassDecorator & MethodDecorator {
  return (target: object, _key?: string | symbol, descriptor?: PropertyDescriptor): void => {
    const host = metadataHost(target, descriptor);
    const skipped: SkippedPolicies = names.length === 0 ? 'all' : names;
    Reflect.defineMetadata(SKIP_RATE_LIMIT_METADATA, skipped, host);
  };
}

function metadataHost(target: object, descriptor?: PropertyDescriptor): object {
  return descriptor ? (descriptor.value as object) : target;
}

function own(host: object, key: symbol): readonly RoutePolicyReference[] {
  return (Reflect.getOwnMetadata(key, host) as readonly RoutePolicyReference[] | undefined) ?? [];
}
