import type { ConcurrencySlot, ResolvedConcurrency } from './concurrency.js';
import { ConcurrencySlotLostError } from './rate-limit.errors.js';

/** What a {@link HeldSlot} is built from. */
export interface HeldSlotInit {
  readonly policy: ResolvedConcurrency;
  readonly source: ConcurrencySlot['source'];
  /** Extends the lease: `true` done, `false` somebody else has the slot, `undefined` not known. */
  readonly renew: () => Promise<boolean | undefined>;
  readonly release: () => Promise<void>;
}

/**
 * A slot with its lease, renewed at a third of it. The timer does not keep the process alive.
 *
 * @internal
 */
export class HeldSlot implements ConcurrencySlot {
  readonly source: ConcurrencySlot['source'];
  private readonly lost = new AbortController();
  private readonly timer: NodeJS.Timeout;
  private endsAtMs: number;
  private renewing: Promise<void> | undefined;
  private released: Promise<void> | undefined;

  constructor(private readonly init: HeldSlotInit) {
    const { leaseMs } = init.policy;
    this.source = init.source;
    this.endsAtMs = performance.now() + leaseMs;
    const renew = (): void => {
      this.renewing = this.renew();
    };
    this.timer = setInterval(renew, leaseMs / 3).unref();
  }

  get signal(): AbortSignal {
    return this.lost.signal;
  }

  release(): Promise<void> {
    this.released ??= this.end();
    return this.released;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  private async end(): Promise<void> {
    clearInterval(this.timer);
    // Both may be sent again after their connection broke: a renewal that comes second would take the slot anew.
    await this.renewing;
    await this.init.release();
  }

  private async renew(): Promise<void> {
    const askedAtMs = performance.now();
    const renewed = await this.init.renew().catch(() => undefined);
    if (this.released) return;
    if (renewed) this.endsAtMs = askedAtMs + this.init.policy.leaseMs;
    else if (renewed === false || performance.now() >= this.endsAtMs) this.lose();
  }

  private lose(): void {
    clearInterval(this.timer);
    this.lost.abort(new ConcurrencySlotLostError(this.init.policy.name));
  }
}
