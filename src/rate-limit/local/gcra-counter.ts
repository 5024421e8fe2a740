import type { Judgement, LocalCounter, LocalLimits, Taken } from './local-counter.js';

/** What the limits mean in nanoseconds. */
interface Bucket {
  readonly intervalNs: number;
  readonly capacityNs: number;
  readonly slackNs: number;
}

/** Generic cell rate algorithm: a bucket, as the time at which it is full again. */
export class GcraCounter implements LocalCounter {
  /** Whole microseconds and the nanoseconds beyond: one double cannot hold both. */
  private fullAtUs = 0;
  private restNs = 0;

  judge(limits: LocalLimits, cost: number, nowUs: number): Judgement {
    const { intervalNs, capacityNs, slackNs } = toBucket(limits);
    const debtNs = this.debtNs(nowUs);
    const afterNs = debtNs + cost * intervalNs;
    return {
      left: Math.max(0, Math.floor((capacityNs + slackNs - debtNs) / intervalNs)),
      resetUs: Math.ceil(debtNs / 1000),
      waitUs: Math.max(0, Math.ceil((afterNs - capacityNs - slackNs) / 1000)),
      resetAfterUs: Math.ceil(afterNs / 1000),
    };
  }

  take(limits: LocalLimits, cost: number, nowUs: number): void {
    this.owe(this.debtNs(nowUs) + cost * toBucket(limits).intervalNs, nowUs);
  }

  penalize(limits: LocalLimits, amount: number, nowUs: number): void {
    const { intervalNs, capacityNs } = toBucket(limits);
    const debtNs = this.debtNs(nowUs) + amount * intervalNs;
    this.owe(Math.min(debtNs, capacityNs + limits.windowUs * 1000), nowUs);
  }

  reward(limits: LocalLimits, amount: number, nowUs: number): void {
    this.owe(Math.max(0, this.debtNs(nowUs) - amount * toBucket(limits).intervalNs), nowUs);
  }

  refund(limits: LocalLimits, { cost, atUs, resetUs }: Taken, nowUs: number): void {
    // The bucket has not been full since; otherwise the time has given back what the call took.
    if (nowUs >= atUs + resetUs) return;
    const { capacityNs, slackNs } = toBucket(limits);
    const debtNs = this.debtNs(nowUs);
    // Behind a moment that lies ahead others may hold later ones, which they keep: then only the last one can
    // be given back, or two would begin where there is room for one.
    const isLast = nowUs + Math.ceil(debtNs / 1000) === atUs + resetUs;
    const hasWaited = resetUs * 1000 > capacityNs + slackNs + 1000;
    if (isLast || (debtNs <= capacityNs + slackNs && !hasWaited)) this.reward(limits, cost, nowUs);
  }

  private debtNs(nowUs: number): number {
    return Math.max(0, (this.fullAtUs - nowUs) * 1000 + this.restNs);
  }

  private owe(debtNs: number, nowUs: number): void {
    const whole = Math.ceil(debtNs);
    this.fullAtUs = nowUs + Math.floor(whole / 1000);
    this.restNs = whole % 1000;
  }
}

function toBucket({ limit, windowUs, param }: LocalLimits): Bucket {
  const intervalNs = (windowUs * 1000) / limit;
  return { intervalNs, capacityNs: param * intervalNs, slackNs: Math.min(param, intervalNs / 2) };
}
