import { LRUCache } from 'lru-cache';
import { systemClock, type Clock } from '../common/index.js';
import type { Demand, RateLimitDecision, RateLimitPolicyState } from './decision.js';

/** Refusals that end sooner are not worth remembering, in milliseconds. */
const SHORTEST_MS = 2;

/** A refusal of one identity by one set of policies. */
interface Denial {
  readonly cost: number;
  readonly madeAtMs: number;
  readonly untilMs: number;
  readonly states: readonly RateLimitPolicyState[];
  readonly violated: readonly string[];
}

/** Settings of {@link DenyCache}. */
export interface DenyCacheOptions {
  /** Identities at most. */
  readonly max: number;
  /** How long a refusal is remembered at most. */
  readonly maxAgeMs: number;
}

/**
 * Refusals that still hold: whoever was refused now and must wait is refused again without a round trip.
 * Remembers refusals only, never that there was room.
 *
 * @internal
 */
export class DenyCache {
  private readonly denials: LRUCache<string, Map<string, Denial>>;

  constructor(
    private readonly options: DenyCacheOptions,
    private readonly clock: Clock = systemClock,
  ) {
    this.denials = new LRUCache({ max: options.max });
  }

  /** Identities with a refusal that is remembered, or was until lately. */
  get size(): number {
    return this.denials.size;
  }

  /** The refusal that answers a call, if one is remembered. */
  find(demands: readonly Demand[]): RateLimitDecision | undefined {
    if (this.denials.size === 0) return undefined;
    for (const { identity, set, cost } of demands) {
      const denial = this.denials.get(identity)?.get(set.signature);
      if (!denial || typeof cost !== 'number' || cost < denial.cost) continue;
      const nowMs = this.clock.monotonicMs();
      if (nowMs < denial.untilMs) return toDecision(denial, nowMs - denial.madeAtMs);
      this.denials.delete(identity);
    }
    return undefined;
  }

  /** Remembers what a refusal says about the identities that caused it. */
  remember(demands: readonly Demand[], { policies }: RateLimitDecision): void {
    let from = 0;
    for (const { identity, set, cost } of demands) {
      const states = policies.slice(from, (from += set.policies.length));
      if (typeof cost === 'number' && set.isCacheable) this.put(identity, set, cost, states);
    }
  }

  /** Forgets an identity, because room was made for it. */
  forget(identity: string): void {
    this.denials.delete(identity);
  }

  /** Forgets everything, because something may have been missed. */
  clear(): void {
    this.denials.clear();
  }

  private put(
    identity: string,
    set: Demand['set'],
    cost: number,
    states: readonly RateLimitPolicyState[],
  ): void {
    const refusing = states.filter(({ waitMs }, index) => waitMs > 0 && !set.policies[index]!.shadow);
    const waitMs = Math.max(0, ...refusing.map((state) => state.waitMs));
    if (waitMs < SHORTEST_MS) return;
    const madeAtMs = this.clock.monotonicMs();
    const denial: Denial = {
      cost,
      madeAtMs,
      // The wait was rounded up.
      untilMs: madeAtMs + Math.min(waitMs - 1, this.options.maxAgeMs),
      states,
      violated: refusing.map(({ name }) => name),
    };
    const known = this.denials.get(identity);
    if (known && known.size < MAX_SETS) known.set(set.signature, denial);
    else this.denials.set(identity, new Map([[set.signature, denial]]));
  }
}

/** Sets of policies one identity is refused by at the same time, in memory. */
const MAX_SETS = 16;

function toDecision({ states, violated }: Denial, elapsedMs: number): RateLimitDecision {
  const sooner = (ms: number): number => Math.max(0, Math.ceil(ms - elapsedMs));
  const policies = states.map((state) => ({
    ...state,
    resetMs: sooner(state.resetMs),
    waitMs: sooner(state.waitMs),
  }));
  const waits = policies.filter(({ name }) => violated.includes(name)).map(({ waitMs }) => waitMs);
  return {
    allowed: false,
    violated,
    shadowed: [],
    retryAfterMs: Math.max(0, ...waits),
    source: 'deny-cache',
    policies,
  };
}
