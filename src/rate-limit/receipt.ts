import type { Demand, RateLimitDecision, RateLimitSource } from './decision.js';

/** What one call took from where, so that exactly that can be given back. */
export interface ReceiptEntry {
  readonly demands: readonly Demand[];
  /** The reply of the call: when it was counted, and when what was counted ends. */
  readonly reply: readonly number[];
  readonly source: RateLimitSource;
}

/**
 * Proof of what a call took. Pass it to `RateLimiter.refund` to give it back: once, and each policy only
 * as long as it still counts that call. Lives in this process; it cannot be stored.
 */
export class RateLimitReceipt {
  private entries: readonly ReceiptEntry[];

  /** @internal */
  constructor(demands: readonly Demand[], reply: readonly number[], source: RateLimitSource) {
    this.entries = [{ demands, reply, source }];
  }

  /** @internal One receipt for what several decisions took. */
  static join(decisions: readonly RateLimitDecision[]): RateLimitReceipt {
    const joined = new RateLimitReceipt([], [], 'redis');
    joined.entries = decisions.flatMap(({ receipt }) => receipt?.entries ?? []);
    return joined;
  }

  /** Whether it can still be given back. */
  get isOpen(): boolean {
    return this.entries.length > 0;
  }

  /** @internal What to give back; empty from the second call on. */
  redeem(): readonly ReceiptEntry[] {
    const { entries } = this;
    this.entries = [];
    return entries;
  }
}
