import { ConfigurationError, escapeKeyPart, resolveDuration, type Duration } from '../common/index.js';
import type { RateLimitOnError } from './policy.js';
import { resolveOnError } from './resolved-policy.js';

/** How much may run at the same time. Read once, when first used. */
export interface ConcurrencyPolicy {
  /** Name in keys and errors. Letters, digits and `. _ -`, 1 to 64 characters. */
  name: string;
  /** Slots there are. Whole number, 1 to 100,000. */
  limit: number;
  /**
   * How long a slot stays taken without a sign of life of its holder. Number = milliseconds, or `'30s'`. 100 ms to 1
   * day. @default '30s'
   */
  lease?: Duration;
  /** What happens while Redis does not answer. @default the module's `onError` */
  onError?: RateLimitOnError;
}

/** Per-call settings of `RateLimiter.concurrency`. */
export interface ConcurrencyOptions {
  /** How long to wait for a slot. Number = milliseconds, or `'5s'`; 0 = not at all. @default 0 */
  maxWait?: Duration;
  /** Ends the wait early. */
  signal?: AbortSignal;
}

/** A slot that is held. Release it, or let `await using` do that. */
export interface ConcurrencySlot extends AsyncDisposable {
  /** Who granted it; a `local` or `open` slot is not counted by other processes. */
  readonly source: 'redis' | 'local' | 'open';
  /** Aborted with `ConcurrencySlotLostError` when the lease ended before it could be renewed. */
  readonly signal: AbortSignal;
  /**
   * Gives the slot back. One round trip the first time, none later. Never rejects: when Redis does not
   * answer, the slot comes free with the end of its lease.
   */
  release(): Promise<void>;
}

/** A checked {@link ConcurrencyPolicy}. */
export interface ResolvedConcurrency {
  readonly name: string;
  readonly limit: number;
  readonly leaseMs: number;
  readonly onError: RateLimitOnError;
  /** What follows the identity in the key. */
  readonly keySuffix: string;
}

const NAME = /^[\w.-]{1,64}$/;
const MAX_SLOTS = 100_000;

/** @throws {ConfigurationError} naming the policy and the property that cannot be used */
export function resolveConcurrency(
  policy: ConcurrencyPolicy,
  onError: RateLimitOnError,
): ResolvedConcurrency {
  const { name, limit, lease = '30s' } = policy;
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw new ConfigurationError(
      `A concurrency policy has no usable name (${typeof name}); use 1 to 64 letters, digits and . _ -`,
    );
  }
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_SLOTS) {
    throw new ConfigurationError(
      `Concurrency policy "${name}" has limit ${String(limit)}; give a whole number from 1 to ${MAX_SLOTS}`,
    );
  }
  return Object.freeze({
    name,
    limit,
    leaseMs: resolveDuration(lease, `${name}.lease`, { minMs: 100, maxMs: 86_400_000 }),
    onError: resolveOnError(policy.onError ?? onError, `${name}.onError`),
    keySuffix: `}:n:${escapeKeyPart(name)}`,
  });
}
