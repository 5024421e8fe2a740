import type { ResolvedPolicy } from '../../../src/rate-limit/resolved-policy.js';

/** How a policy stands, in microseconds. */
export interface State {
  left: number;
  resetUs: number;
  waitUs: number;
}

/** What one call took of one policy. */
export interface Taken {
  cost: number;
  atUs: number;
  resetUs: number;
}

/** One limit in its plainest form: a list of what happened, searched through each time. */
export interface Counter {
  judge(cost: number, nowUs: number): State;
  take(cost: number, nowUs: number): void;
  penalize(amount: number, nowUs: number): void;
  reward(amount: number, nowUs: number): void;
  refund(taken: Taken, nowUs: number): void;
}

/** A model of the counter of a policy. */
export function modelOf({ algorithm, limit, windowUs, param }: ResolvedPolicy): Counter {
  switch (algorithm) {
    case 'sliding':
      return new SubWindows(limit, windowUs, param);
    case 'sliding-log':
      return new Log(limit, windowUs);
    case 'fixed':
      return new Fixed(limit, windowUs, param === 1);
    case 'gcra':
      return new Bucket(limit, windowUs, param);
  }
}

class SubWindows implements Counter {
  private counts = new Map<number, number>();

  constructor(
    private readonly limit: number,
    private readonly windowUs: number,
    private readonly precision: number,
  ) {}

  judge(cost: number, nowUs: number): State {
    const counted = this.counted(nowUs);
    const total = counted.reduce((sum, [, count]) => sum + count, 0);
    let excess = total + cost - this.limit;
    const isOver = excess > 0;
    const blocking = counted.find(([, count]) => (excess -= count) <= 0);
    return {
      left: Math.max(0, this.limit - total),
      resetUs: counted.length === 0 ? 0 : this.leavesUs(counted.at(-1)![0]) - nowUs,
      waitUs: isOver ? this.leavesUs(blocking![0]) - nowUs : 0,
    };
  }

  take(cost: number, nowUs: number): void {
    this.add(this.index(nowUs), cost);
  }

  penalize(amount: number, nowUs: number): void {
    const now = this.counts.get(this.index(nowUs)) ?? 0;
    this.add(this.index(nowUs), Math.min(this.limit, now + amount) - now);
  }

  reward(amount: number, nowUs: number): void {
    let owed = amount;
    for (const [index, count] of this.counted(nowUs)) {
      const back = Math.min(owed, count);
      this.add(index, -back);
      owed -= back;
    }
  }

  refund({ cost, atUs }: Taken, nowUs: number): void {
    const own = this.counted(nowUs).find(([index]) => index === this.index(atUs));
    if (own) this.add(own[0], -Math.min(cost, own[1]));
  }

  private counted(nowUs: number): [index: number, count: number][] {
    const oldest = this.index(nowUs) - this.precision;
    return [...this.counts].filter(([at, count]) => at >= oldest && count > 0).sort(([a], [b]) => a - b);
  }

  private index(us: number): number {
    return Number(BigInt(us) / BigInt(this.windowUs / this.precision));
  }

  private leavesUs(index: number): number {
    return (index + this.precision + 1) * (this.windowUs / this.precision);
  }

  private add(index: number, units: number): void {
    this.counts.set(index, (this.counts.get(index) ?? 0) + units);
  }
}

class Log implements Counter {
  private times: number[] = [];

  constructor(
    private readonly limit: number,
    private readonly windowUs: number,
  ) {}

  judge(cost: number, nowUs: number): State {
    const live = this.live(nowUs);
    const blocking = live.length + cost - this.limit;
    return {
      left: Math.max(0, this.limit - live.length),
      resetUs: live.length === 0 ? 0 : live.at(-1)! + this.windowUs - nowUs,
      waitUs: blocking > 0 ? live[blocking - 1]! + this.windowUs - nowUs : 0,
    };
  }

  take(cost: number, nowUs: number): void {
    this.times.push(...Array.from({ length: cost }, () => nowUs));
  }

  penalize(amount: number, nowUs: number): void {
    this.times = [...this.live(nowUs), ...Array.from({ length: amount }, () => nowUs)].slice(-this.limit);
  }

  reward(amount: number, nowUs: number): void {
    this.times = this.live(nowUs).slice(amount);
  }

  refund({ cost, atUs }: Taken): void {
    for (let unit = 0; unit < cost; unit += 1) {
      const at = this.times.indexOf(atUs);
      if (at >= 0) this.times.splice(at, 1);
    }
  }

  private live(nowUs: number): number[] {
    return this.times.filter((time) => time > nowUs - this.windowUs);
  }
}

class Fixed implements Counter {
  private window = { endsUs: 0, used: 0 };

  constructor(
    private readonly limit: number,
    private readonly windowUs: number,
    private readonly aligned: boolean,
  ) {}

  judge(cost: number, nowUs: number): State {
    const { endsUs, used } = this.at(nowUs);
    const restUs = endsUs - nowUs;
    return {
      left: Math.max(0, this.limit - used),
      resetUs: used > 0 ? restUs : 0,
      waitUs: used + cost > this.limit ? restUs : 0,
    };
  }

  take(cost: number, nowUs: number): void {
    const { endsUs, used } = this.at(nowUs);
    this.window = { endsUs, used: used + cost };
  }

  penalize(amount: number, nowUs: number): void {
    this.take(amount, nowUs);
  }

  reward(amount: number, nowUs: number): void {
    const { endsUs, used } = this.at(nowUs);
    if (used > 0) this.window = { endsUs, used: Math.max(0, used - amount) };
  }

  refund({ cost, atUs, resetUs }: Taken, nowUs: number): void {
    if (this.at(nowUs).endsUs === atUs + resetUs) this.reward(cost, nowUs);
  }

  private at(nowUs: number): { endsUs: number; used: number } {
    if (this.window.endsUs > nowUs) return this.window;
    const endsUs = this.aligned ? nowUs + this.windowUs - (nowUs % this.windowUs) : nowUs + this.windowUs;
    return { endsUs, used: 0 };
  }
}

/** In whole nanoseconds times the limit, so that an interval is exact. */
class Bucket implements Counter {
  private fullAt = 0n;
  private readonly limit: bigint;
  private readonly interval: bigint;
  private readonly capacity: bigint;
  private readonly slack: bigint;

  constructor(
    limit: number,
    private readonly windowUs: number,
    burst: number,
  ) {
    this.limit = BigInt(limit);
    this.interval = BigInt(windowUs) * 1000n;
    this.capacity = BigInt(burst) * this.interval;
    const half = this.interval / 2n;
    const most = BigInt(burst) * this.limit;
    this.slack = most < half ? most : half;
  }

  judge(cost: number, nowUs: number): State {
    const debt = this.debt(nowUs);
    const excess = debt + BigInt(cost) * this.interval - this.capacity - this.slack;
    const left = (this.capacity + this.slack - debt) / this.interval;
    return {
      left: left < 0n ? 0 : Number(left),
      resetUs: this.toUs(debt),
      waitUs: excess > 0n ? this.toUs(excess) : 0,
    };
  }

  take(cost: number, nowUs: number): void {
    this.owe(this.debt(nowUs) + BigInt(cost) * this.interval, nowUs);
  }

  penalize(amount: number, nowUs: number): void {
    const most = this.capacity + BigInt(this.windowUs) * 1000n * this.limit;
    const debt = this.debt(nowUs) + BigInt(amount) * this.interval;
    this.owe(debt < most ? debt : most, nowUs);
  }

  reward(amount: number, nowUs: number): void {
    const debt = this.debt(nowUs) - BigInt(amount) * this.interval;
    this.owe(debt > 0n ? debt : 0n, nowUs);
  }

  refund({ cost, atUs, resetUs }: Taken, nowUs: number): void {
    if (nowUs >= atUs + resetUs) return;
    const most = this.capacity + this.slack;
    const debt = this.debt(nowUs);
    const isLast = nowUs + this.toUs(debt) === atUs + resetUs;
    const hasWaited = BigInt(resetUs - 1) * 1000n * this.limit > most;
    if (isLast || (debt <= most && !hasWaited)) this.reward(cost, nowUs);
  }

  private debt(nowUs: number): bigint {
    const debt = this.fullAt - this.toScale(nowUs);
    return debt > 0n ? debt : 0n;
  }

  private owe(debt: bigint, nowUs: number): void {
    this.fullAt = this.toScale(nowUs) + debt;
  }

  private toScale(us: number): bigint {
    return BigInt(us) * 1000n * this.limit;
  }

  private toUs(value: bigint): number {
    const unit = 1000n * this.limit;
    return Number((value + unit - 1n) / unit);
  }
}
