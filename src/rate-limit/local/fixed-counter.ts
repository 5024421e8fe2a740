import type { Judgement, LocalCounter, LocalLimits, Taken } from './local-counter.js';

/** Fixed window from the first request (`param` 0), or aligned to the epoch (1). */
export class FixedCounter implements LocalCounter {
  private endsUs = 0;
  private used = 0;

  judge(limits: LocalLimits, cost: number, nowUs: number): Judgement {
    this.turn(limits, nowUs);
    const { limit } = limits;
    const restUs = this.endsUs - nowUs;
    return {
      left: Math.max(0, limit - this.used),
      resetUs: this.used > 0 ? restUs : 0,
      waitUs: this.used + cost > limit ? restUs : 0,
      resetAfterUs: restUs,
    };
  }

  take(limits: LocalLimits, cost: number, nowUs: number): void {
    this.turn(limits, nowUs);
    this.used += cost;
  }

  penalize(limits: LocalLimits, amount: number, nowUs: number): void {
    this.take(limits, amount, nowUs);
  }

  reward(limits: LocalLimits, amount: number, nowUs: number): void {
    this.turn(limits, nowUs);
    this.used = Math.max(0, this.used - amount);
  }

  refund(limits: LocalLimits, { cost, atUs, resetUs }: Taken, nowUs: number): void {
    this.turn(limits, nowUs);
    if (atUs + resetUs === this.endsUs) this.used = Math.max(0, this.used - cost);
  }

  /** Begins a new window when there is none, or when nothing was counted in this one. */
  private turn({ windowUs, param }: LocalLimits, nowUs: number): void {
    const endsUs = param === 1 ? nowUs + windowUs - (nowUs % windowUs) : nowUs + windowUs;
    if (this.endsUs > nowUs && this.used > 0) {
      this.endsUs = Math.min(this.endsUs, endsUs);
      return;
    }
    this.endsUs = endsUs;
    this.used = 0;
  }
}
