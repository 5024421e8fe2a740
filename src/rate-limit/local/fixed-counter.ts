import type { Judgement, LocalCounter, LocalLimits, Taken } from './local-counter.js';

interface Window {
  readonly endsUs: number;
  readonly used: number;
}

/** Fixed window from the first request (`param` 0), or aligned to the epoch (1). */
export class FixedCounter implements LocalCounter {
  private window: Window = { endsUs: 0, used: 0 };

  judge(limits: LocalLimits, cost: number, nowUs: number): Judgement {
    const { endsUs, used } = this.at(limits, nowUs);
    const restUs = endsUs - nowUs;
    return {
      left: Math.max(0, limits.limit - used),
      resetUs: used > 0 ? restUs : 0,
      waitUs: used + cost > limits.limit ? restUs : 0,
      resetAfterUs: restUs,
    };
  }

  take(limits: LocalLimits, cost: number, nowUs: number): void {
    const { endsUs, used } = this.at(limits, nowUs);
    this.window = { endsUs, used: used + cost };
  }

  penalize(limits: LocalLimits, amount: number, nowUs: number): void {
    this.take(limits, amount, nowUs);
  }

  reward(limits: LocalLimits, amount: number, nowUs: number): void {
    const { endsUs, used } = this.at(limits, nowUs);
    // Giving back what was never taken begins no window.
    if (used > 0) this.window = { endsUs, used: Math.max(0, used - amount) };
  }

  refund(limits: LocalLimits, { cost, atUs, resetUs }: Taken, nowUs: number): void {
    if (atUs + resetUs === this.at(limits, nowUs).endsUs) this.reward(limits, cost, nowUs);
  }

  /** The window that runs, or the one that a request would begin. */
  private at({ windowUs, param }: LocalLimits, nowUs: number): Window {
    const endsUs = param === 1 ? nowUs + windowUs - (nowUs % windowUs) : nowUs + windowUs;
    const { window } = this;
    return window.endsUs > nowUs
      ? { ...window, endsUs: Math.min(window.endsUs, endsUs) }
      : { endsUs, used: 0 };
  }
}
