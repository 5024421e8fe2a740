import type { Duration } from '../common/index.js';
import type { RateLimitId } from './identity.js';

/**
 * What happens to a request while Redis does not answer.
 *
 * - `local`: this process decides alone, with the same algorithm in memory and its share of the limit
 *   (`limit` divided by the module's `instances`)
 * - `open`: it passes, uncounted
 * - `closed`: it is refused with `RateLimitUnavailableError`
 */
export type RateLimitOnError = 'local' | 'open' | 'closed';

/**
 * How requests are counted.
 *
 * - `sliding`: never more than `limit` in any span of length `window`, wherever it starts; under a
 *   continuous flood at least 20/21 of it are let through. 33 to 100 bytes.
 * - `sliding-log`: the same without the loss: the time of every request is kept. 12 bytes per request, so for
 *   limits up to 1,000.
 * - `gcra`: a token bucket of `burst` units that refills evenly. Up to `burst + limit` in a window. With
 *   `burst: 1` requests are paced. 8 bytes.
 * - `fixed`: counts in windows that follow each other. Up to twice the limit around an edge. 12 bytes.
 */
export type RateLimitAlgorithm = 'sliding' | 'sliding-log' | 'gcra' | 'fixed';

/** Limits of one identity; what is left out is that of the policy. */
export type PolicyLimits = Pick<Partial<Policy>, 'limit' | 'window' | 'burst'>;

/** Says which limits an identity has, for example by its plan. `undefined`: those of the policy. */
export type PolicyLimitsFunction = (
  id: RateLimitId,
) => PolicyLimits | undefined | Promise<PolicyLimits | undefined>;

/** How a policy keeps an identity out that does not stop. */
export interface PolicyBlock {
  /**
   * How long a block lasts; of several lengths the next one applies each time, the last one from then on.
   * `'manual'`: only `RateLimiter.block` blocks. 1 ms to 31 days each, at most 16.
   */
  for: Duration | readonly Duration[] | 'manual';
  /** Refusals that begin a block. Whole number, 1 to 1,000,000. @default 1 */
  after?: number;
  /** Time after a block in which the next one is longer. 1 ms to 31 days. @default the longest `for` */
  decay?: Duration;
}

/** A limit with a name. Read once, when first used: changing the object later has no effect. */
export interface Policy {
  /**
   * Name in keys, headers and errors; requests of one identity under one name share a counter.
   * Letters, digits and `. _ -`, 1 to 64 characters.
   */
  name: string;
  /** Most requests (or units of cost) per {@link window}. Whole number, 1 to 1,000,000,000. */
  limit: number;
  /** Length of the window. Number = milliseconds, or `'10s'`. 1 ms to 31 days. */
  window: Duration;
  /** How requests are counted. @default 'sliding' */
  algorithm?: RateLimitAlgorithm;
  /**
   * Units that may come at once, for `gcra`. Whole number, 1 to 1,000,000,000; the bucket must refill within 31
   * days. @default the limit
   */
  burst?: number;
  /**
   * Sub-windows of `sliding`: more of them lose less under a flood and take more memory. 5, 10, 20, 25, 40
   * or 50. @default 20
   */
  precision?: number;
  /**
   * Where a `fixed` window begins: with the first request, or at multiples of its length since
   * 1970-01-01 00:00 UTC. @default 'first'
   */
  align?: 'first' | 'utc';
  /**
   * Limits that depend on the identity. Asked once per identity and `resolveTtl` of the module. When it fails, or does
   * not answer within a second, the limits known before apply. @default none
   */
  resolve?: PolicyLimitsFunction;
  /** Keeps those out that go on after refusals. @default no block */
  block?: PolicyBlock;
  /** Counts and reports, but never refuses. @default false */
  shadow?: boolean;
  /** What happens while Redis does not answer. @default the module's `onError` */
  onError?: RateLimitOnError;
}
