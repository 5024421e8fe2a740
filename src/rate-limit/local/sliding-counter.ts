import type { Judgement, LocalCounter, LocalLimits, Taken } from './local-counter.js';

/** Sliding window as a ring of counters, newest first; the oldest, only partly inside, counts whole. */
export class SlidingCounter implements LocalCounter {
  private index = 0;
  private counts: number[] = [];
  private total = 0;

  judge(limits: LocalLimits, cost: number, nowUs: number): Judgement {
    this.turn(limits, nowUs);
    const newest = this.counts.findIndex((count) => count > 0);
    return {
      left: Math.max(0, limits.limit - this.total),
      resetUs: newest < 0 ? 0 : this.leavesUs(limits, newest, nowUs),
      waitUs: this.waitUs(limits, cost, nowUs),
      resetAfterUs: this.leavesUs(limits, 0, nowUs),
    };
  }

  take(limits: LocalLimits, cost: number, nowUs: number): void {
    this.turn(limits, nowUs);
    this.add(0, cost);
  }

  penalize(limits: LocalLimits, amount: number, nowUs: number): void {
    this.turn(limits, nowUs);
    this.add(0, Math.max(0, Math.min(limits.limit - this.counts[0]!, amount)));
  }

  reward(limits: LocalLimits, amount: number, nowUs: number): void {
    this.turn(limits, nowUs);
    let owed = amount;
    for (let age = this.counts.length - 1; age >= 0; age -= 1) owed -= this.giveBack(age, owed);
  }

  refund(limits: LocalLimits, { cost, atUs }: Taken, nowUs: number): void {
    this.turn(limits, nowUs);
    const age = this.index - Math.floor(atUs / spanUs(limits));
    if (age >= 0 && age < this.counts.length) this.giveBack(age, cost);
  }

  /** Moves the ring to `nowUs`: what is too old leaves. */
  private turn(limits: LocalLimits, nowUs: number): void {
    const slots = limits.param + 1;
    const index = Math.floor(nowUs / spanUs(limits));
    const shift = this.counts.length === slots ? Math.min(index - this.index, slots) : slots;
    this.index = index;
    if (shift === 0) return;
    const kept = this.counts.slice(0, slots - shift);
    this.counts = [...Array.from({ length: shift }, () => 0), ...kept];
    this.total = kept.reduce((sum, count) => sum + count, 0);
  }

  private waitUs(limits: LocalLimits, cost: number, nowUs: number): number {
    let excess = this.total + cost - limits.limit;
    if (excess <= 0) return 0;
    for (let age = this.counts.length - 1; age >= 0; age -= 1) {
      excess -= this.counts[age]!;
      if (excess <= 0) return this.leavesUs(limits, age, nowUs);
    }
    return this.leavesUs(limits, 0, nowUs);
  }

  private leavesUs(limits: LocalLimits, age: number, nowUs: number): number {
    return (this.index - age + limits.param + 1) * spanUs(limits) - nowUs;
  }

  private add(age: number, units: number): void {
    this.counts[age]! += units;
    this.total += units;
  }

  private giveBack(age: number, units: number): number {
    const back = Math.min(units, this.counts[age]!);
    this.add(age, -back);
    return back;
  }
}

function spanUs({ windowUs, param }: LocalLimits): number {
  return windowUs / param;
}
