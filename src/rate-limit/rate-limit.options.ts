import { ConfigurationError, resolveDuration, resolveWholeNumber, type Duration } from '../common/index.js';
import { MAX_POLICIES } from './policy-set.js';
import type { RateLimitOnError } from './policy.js';
import {
  REQUEST_DEFAULTS,
  resolveRequestOptions,
  type RateLimitRequestOptions,
  type ResolvedRequestOptions,
} from './request-options.js';
import { resolveOnError } from './resolved-policy.js';
import { assertRoutePolicy } from './route-policy-check.js';
import type { RoutePolicy, RoutePolicyReference } from './route-policy.js';

/** Settings of the memory of refusals. */
export interface DenyCacheSettings {
  /** Identities remembered at most. Whole number, 1 to 1,000,000. @default 10_000 */
  max?: number;
  /**
   * How long a refusal is remembered at most. Number = milliseconds, or `'1s'`. 1 ms to 1 minute. It is also how
   * long a refusal may outlive a `reset` that this process does not hear of. @default '1s'
   */
  maxAge?: Duration;
  /**
   * Whether a `reset`, `reward` or `refund` of another process ends it at once. Opens the application's pub/sub
   * connection with the first refusal. Has no effect with a Cluster client that the application handed in, on which
   * nobody can listen. @default true
   */
  invalidate?: boolean;
}

/** Options of `RateLimitModule`. */
export interface RateLimitModuleOptions extends RateLimitRequestOptions {
  /** Name of the Redis connection that holds the counters. @default the default connection */
  connection?: string;
  /**
   * How long a decision waits for Redis before {@link onError} applies. Number = milliseconds, or
   * `'50ms'`. 1 ms to 10 s. @default '50ms'
   */
  timeout?: Duration;
  /**
   * What happens while Redis does not answer: `local` decides in the memory of this process, `open` lets
   * requests pass uncounted, `closed` refuses them. A policy may say otherwise for itself.
   * @default 'local'
   */
  onError?: RateLimitOnError;
  /**
   * Processes that share the limits. While Redis does not answer, each applies this part of a `local`
   * policy: with the default all of them together may let through as many times the limit as there are
   * processes. Whole number, 1 to 10,000. @default 1
   */
  instances?: number;
  /**
   * Memory of refusals, so that whoever must wait anyway is refused without a round trip; `false` for
   * none. @default { max: 10_000, maxAge: '1s', invalidate: true }
   */
  denyCache?: DenyCacheSettings | false;
  /**
   * How long the limits that a policy's `resolve` gave for an identity are used before it is asked again.
   * Number = milliseconds, or `'10s'`. 1 ms to 1 day. @default '10s'
   */
  resolveTtl?: Duration;
  /** Policies that `@RateLimit('name')` refers to. Names must differ. @default none */
  policies?: readonly RoutePolicy[];
  /**
   * What the guard applies to routes without `@RateLimit` on method or class. At most 16.
   * @default none
   */
  defaultPolicies?: readonly RoutePolicyReference[];
}

/** Checked {@link RateLimitModuleOptions}, every value present. */
export interface ResolvedRateLimitOptions extends ResolvedRequestOptions {
  /** `undefined` for the default connection. */
  readonly connection: string | undefined;
  /** How long a decision waits for Redis. */
  readonly timeoutMs: number;
  /** What applies without Redis to policies that do not say it themselves. */
  readonly onError: RateLimitOnError;
  /** Processes that share the limits. */
  readonly instances: number;
  /** Counters kept in memory while Redis does not answer; large ones count several times. */
  readonly maxLocalCounters: number;
  /** Memory of refusals; `undefined` for none. */
  readonly denyCache: ResolvedDenyCache | undefined;
  /** How long limits by identity are used. */
  readonly resolveTtlMs: number;
  /** Named policies, by name. */
  readonly policies: ReadonlyMap<string, RoutePolicy>;
  /** Policies of routes without `@RateLimit`, names replaced by what they mean. */
  readonly defaultPolicies: readonly RoutePolicy[];
}

/** Checked {@link DenyCacheSettings}. */
export interface ResolvedDenyCache {
  /** Identities remembered at most. */
  readonly max: number;
  /** How long a refusal is remembered at most. */
  readonly maxAgeMs: number;
  /** Whether changes of other processes end it at once. */
  readonly invalidate: boolean;
}

/** Values used for options that are left out. */
export const RATE_LIMIT_DEFAULTS = Object.freeze({
  timeout: '50ms',
  onError: 'local',
  instances: 1,
  denyCache: Object.freeze({ max: 10_000, maxAge: '1s', invalidate: true }),
  resolveTtl: '10s',
  ...REQUEST_DEFAULTS,
} as const satisfies RateLimitModuleOptions);

/** 35 MB at worst: full logs of 31 calls. One of 1,000 weighs as much as 32 counters. */
const MAX_LOCAL_COUNTERS = 50_000;

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
    instances: resolveWholeNumber(input.instances ?? RATE_LIMIT_DEFAULTS.instances, 'instances', {
      max: 10_000,
    }),
    maxLocalCounters: MAX_LOCAL_COUNTERS,
    denyCache: resolveDenyCache(input.denyCache ?? RATE_LIMIT_DEFAULTS.denyCache),
    resolveTtlMs: resolveDuration(input.resolveTtl ?? RATE_LIMIT_DEFAULTS.resolveTtl, 'resolveTtl', {
      maxMs: 86_400_000,
    }),
    ...resolveRequestOptions(input),
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

function resolveDenyCache(settings: DenyCacheSettings | false): ResolvedDenyCache | undefined {
  if (settings === false) return undefined;
  const defaults = RATE_LIMIT_DEFAULTS.denyCache;
  return Object.freeze({
    max: resolveWholeNumber(settings.max ?? defaults.max, 'denyCache.max', { max: 1_000_000 }),
    maxAgeMs: resolveDuration(settings.maxAge ?? defaults.maxAge, 'denyCache.maxAge', { maxMs: 60_000 }),
    invalidate: settings.invalidate ?? defaults.invalidate,
  });
}
