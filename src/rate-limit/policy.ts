import { ConfigurationError, resolveDuration, type Duration } from '../common/index.js';

/**
 * What happens to a request while Redis does not answer.
 *
 * - `open`: it passes, uncounted
 * - `closed`: it is refused with `RateLimitUnavailableError`
 */
export type RateLimitOnError = 'open' | 'closed';

/**
 * How requests are counted. `sliding`: never more than `limit` in any span of length `window`,
 * wherever it starts; under a continuous flood at least 20/21 of it are let through.
 */
export type RateLimitAlgorithm = 'sliding';

/** A limit with a name. Read once, when first used: changing the object later has no effect. */
export interface Policy {
  /**
   * Name in keys, headers and errors; requests of one identity under one name share a counter.
   * Letters, digits and `. _ -`, 1 to 64 characters.
   */
  name: string;
  /** Most requests (or units of cost) per {@link window}. Whole number, 1 to 1,000,000,000. */
  limit: number;
  /** Length of the window. Number = milliseconds, or `'10s'`. 1 ms to 1 day. */
  window: Duration;
  /** How requests are counted. @default 'sliding' */
  algorithm?: RateLimitAlgorithm;
  /** What happens while Redis does not answer. @default the module's `onError` */
  onError?: RateLimitOnError;
}

/** A checked {@link Policy} with the name of its counter. */
export interface ResolvedPolicy {
  readonly name: string;
  /** Part of the key that tells counters of one identity apart: the name, qualified by its scope. */
  readonly counter: string;
  readonly limit: number;
  readonly windowMs: number;
  readonly onError: RateLimitOnError;
}

/** Most policies one call may name; bounds the work of the script. */
export const MAX_POLICIES = 16;

const MAX_LIMIT = 1_000_000_000;
const MAX_WINDOW_MS = 86_400_000;
const NAME = /^[\w.-]{1,64}$/;

/**
 * Checks a policy and fills in its defaults.
 *
 * @param counter name of the counter when it is not the policy's name
 * @throws {ConfigurationError} naming the policy and the property that cannot be used
 */
export function resolvePolicy(policy: Policy, onError: RateLimitOnError, counter?: string): ResolvedPolicy {
  const { name, limit, window } = policy;
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw new ConfigurationError(
      `A rate limit policy has no usable name (${typeof name}); use 1 to 64 letters, digits and . _ -`,
    );
  }
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw new ConfigurationError(
      `Rate limit policy "${name}" has limit ${String(limit)}; give a whole number from 1 to ${MAX_LIMIT}`,
    );
  }
  if (policy.algorithm !== undefined && policy.algorithm !== 'sliding') {
    throw new ConfigurationError(
      `Rate limit policy "${name}" has algorithm "${String(policy.algorithm)}"; known is "sliding"`,
    );
  }
  return Object.freeze({
    name,
    counter: counter ?? name,
    limit,
    windowMs: resolveDuration(window, `${name}.window`, { maxMs: MAX_WINDOW_MS }),
    onError: resolveOnError(policy.onError ?? onError, `${name}.onError`),
  });
}

/** @throws {ConfigurationError} when the value is neither `'open'` nor `'closed'` */
export function resolveOnError(value: unknown, name: string): RateLimitOnError {
  if (value === 'open' || value === 'closed') return value;
  throw new ConfigurationError(
    `Option "${name}" is ${typeof value} ${String(value)}; give "open" or "closed"`,
  );
}

/**
 * Checks what one call asks for.
 *
 * @throws {ConfigurationError} when there is no policy, there are too many or two of one counter, or
 * the cost is not a whole number from 1 to the smallest limit (it could never be let through)
 */
export function assertCall(policies: readonly ResolvedPolicy[], cost: number): void {
  if (policies.length === 0 || policies.length > MAX_POLICIES) {
    throw new ConfigurationError(
      `A rate limit call names ${policies.length} policies; give 1 to ${MAX_POLICIES}`,
    );
  }
  if (new Set(policies.map(({ counter }) => counter)).size < policies.length) {
    throw new ConfigurationError(
      'A rate limit call names two policies of the same name; give them different names',
    );
  }
  if (!Number.isInteger(cost) || cost < 1) {
    throw new ConfigurationError(`Option "cost" is ${String(cost)}; give a whole number from 1 on`);
  }
  const tight = policies.find(({ limit }) => cost > limit);
  if (tight) {
    throw new ConfigurationError(
      `Option "cost" is ${cost}, above the limit ${tight.limit} of policy "${tight.name}": no wait would let it through`,
    );
  }
}
