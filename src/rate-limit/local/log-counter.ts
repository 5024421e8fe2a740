import type { Judgement, LocalCounter, LocalLimits, Taken } from './local-counter.js';

/** Exact sliding window: the time of every unit, oldest first. */
export class LogCounter implements LocalCounter {
  private times: number[] = [];

  judge(limits: LocalLimits, cost: number, nowUs: number): Judgement {
    this.turn(limits, nowUs);
    const { limit, windowUs } = limits;
    const blocking = this.times.length + cost - limit;
    const last = this.times.at(-1);
    return {
      left: Math.max(0, limit - this.times.length),
      resetUs: last === undefined ? 0 : last + windowUs - nowUs,
      waitUs: blocking > 0 ? this.times[blocking - 1]! + windowUs - nowUs : 0,
      resetAfterUs: windowUs,
    };
  }

  take(limits: LocalLimits, cost: number, nowUs: number): void {
    this.turn(limits, nowUs);
    for (let unit = 0; unit < cost; unit += 1) this.times.push(nowUs);
  }

  penalize(limits: LocalLimits, amount: number, nowUs: number): void {
    this.take(limits, Math.min(amount, limits.limit), nowUs);
    this.times = this.times.slice(-limits.limit);
  }

  reward(limits: LocalLimits, amount: number, nowUs: number): void {
    this.turn(limits, nowUs);
    this.times.splice(0, amount);
  }

  refund(limits: LocalLimits, { cost, atUs }: Taken, nowUs: number): void {
    this.turn(limits, nowUs);
    const first = this.times.indexOf(atUs);
    if (first < 0) return;
    const last = this.times.lastIndexOf(atUs);
    this.times.splice(first, Math.min(cost, last - first + 1));
  }

  private turn({ windowUs }: LocalLimits, nowUs: number): void {
    const live = this.times.findIndex((time) => time > nowUs - windowUs);
    this.times.splice(0, live < 0 ? this.times.length : live);
  }
}
