import { ConfigurationError, resolveDuration, type Duration } from '../common/index.js';
import { MAX_POLICIES, resolveOnError, resolvePolicy, type RateLimitOnError } from './policy.js';
import type { RoutePolicy, RoutePolicyReference } from './route-policy.js';

/** Options of `RateLimitModule`. */
export interface RateLimitModuleOptions {
  /** Name of the Redis connection that holds the counters. @default the default connection */
  connection?: string;
  /**
   * How long a decision waits for Redis before {@link onError} applies. Number = milliseconds, or
   * `'50ms'`. 1 ms to 10 s. @default '50ms'
   */
  timeout?: Duration;
  /**
   * What happens while Redis does not answer: `open` lets requests pass uncounted, `closed` refuses
   * them. A policy may say otherwise for itself. @default 'open'
   */
  onError?: RateLimitOnError;
  /**
   * Bits of an IPv6 address that identify a client; providers hand out whole /64 networks. Whole
   * number, 32 to 128. @default 64
   */
  ipv6Prefix?: number;
  /** Policies that `@RateLimit('name')` refers to. Names must differ. @default none */
  policies?: readonly RoutePolicy[];
  /**
   * What the guard applies to routes without `@RateLimit` on method or class. At most 16.
   * @default none
   */
  defaultPolicies?: readonly RoutePolicyReference[];
}

/** Checked {@link RateLimitModuleOptions}, every value present. */
export interface ResolvedRateLimitOptions {
  /** `undefined` for the default connection. */
  readonly connection: string | undefined;
  /** How long a decision waits for Redis. */
  readonly timeoutMs: number;
  /** What applies without Redis to policies that do not say it themselves. */
  readonly onError: RateLimitOnError;
  /** Bits of an IPv6 address that identify a client. */
  readonly ipv6Prefix: number;
  /** Named policies, by name. */
  readonly policies: ReadonlyMap<string, RoutePolicy>;
  /** Policies of routes without `@RateLimit`, names replaced by what they mean. */
  readonly defaultPolicies: readonly RoutePolicy[];
}

/** Values used for options that are left out. */
export const RATE_LIMIT_DEFAULTS = Object.freeze({
  timeout: '50ms',
  onError: 'open',
  ipv6Prefix: 64,
} as const satisfies RateLimitModuleOptions);

/**
 * Checks the options and fills in the defaults.
 *
 * @throws {ConfigurationError} naming the option that cannot be used and what it accepts
 */
export function resolveRateLimitOptions(input: RateLimitModuleOptions = {}): ResolvedRateLimitOptions {
  const onError = resolveOnError(input.onError ?? RATE_LIMIT_DEFAULTS.onError, 'onError');
  const policies = byName(input.policies ?? [], 'policies');
  for (const policy of policies.values()) assertRoutePolicy(policy);
  return Object.freeze({
    connection: input.connection,
    timeoutMs: resolveDuration(input.timeout ?? RATE_LIMIT_DEFAULTS.timeout, 'timeout', { maxMs: 10_000 }),
    onError,
    ipv6Prefix: resolvePrefix(input.ipv6Prefix ?? RATE_LIMIT_DEFAULTS.ipv6Prefix),
    policies,
    defaultPolicies: resolveDefaults(input.defaultPolicies ?? [], policies),
  });
}

/**
 * Finds the policies a list of references means.
 *
 * @param where shown in the error
 * @throws {ConfigurationError} when a name is not among the named policies
 */
export function resolveReferences(
  references: readonly RoutePolicyReference[],
  named: ReadonlyMap<string, RoutePolicy>,
  where: string,
): RoutePolicy[] {
  return references.map((reference) => {
    if (typeof reference !== 'string') return reference;
    const policy = named.get(reference);
    if (policy) return policy;
    const known = [...named.keys()].map((name) => `"${name}"`).join(', ') || 'none';
    throw new ConfigurationError(
      `${where} refers to rate limit policy "${reference}"; known are: ${known}. ` +
        'Add it to "policies" of RateLimitModule.forRoot',
    );
  });
}

/** @throws {ConfigurationError} when a policy's own values, its key or its scope cannot be used */
export function assertRoutePolicy(policy: RoutePolicy): void {
  const { name } = resolvePolicy(policy, RATE_LIMIT_DEFAULTS.onError);
  const { key = 'ip', scope = 'global' } = policy;
  if (key !== 'ip' && typeof key !== 'function') {
    throw new ConfigurationError(
      `Rate limit policy "${name}" has a ${typeof key} as key; give "ip" or a function`,
    );
  }
  if (!['global', 'class', 'route'].includes(scope)) {
    throw new ConfigurationError(
      `Rate limit policy "${name}" has scope "${scope}"; give "global", "class" or "route"`,
    );
  }
}

function resolveDefaults(
  references: readonly RoutePolicyReference[],
  named: ReadonlyMap<string, RoutePolicy>,
): readonly RoutePolicy[] {
  const policies = resolveReferences(references, named, 'Option "defaultPolicies"');
  for (const policy of policies) assertRoutePolicy(policy);
  byName(policies, 'defaultPolicies');
  if (policies.length > MAX_POLICIES) {
    throw new ConfigurationError(
      `Option "defaultPolicies" lists ${policies.length}; give at most ${MAX_POLICIES}`,
    );
  }
  return Object.freeze(policies);
}

function byName(policies: readonly RoutePolicy[], option: string): Map<string, RoutePolicy> {
  const map = new Map<string, RoutePolicy>();
  for (const policy of policies) {
    if (map.has(policy.name)) {
      throw new ConfigurationError(`Option "${option}" has two policies named "${policy.name}"; rename one`);
    }
    map.set(policy.name, policy);
  }
  return map;
}

function resolvePrefix(prefix: number): number {
  if (Number.isInteger(prefix) && prefix >= 32 && prefix <= 128) return prefix;
  throw new ConfigurationError(
    `Option "ipv6Prefix" is ${String(prefix)}; give a whole number from 32 to 128`,
  );
}
