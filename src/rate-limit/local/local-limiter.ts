import { LRUCache } from 'lru-cache';
import { systemClock, type Clock } from '../../common/index.js';
import type { Demand } from '../decision.js';
import type { RateLimitAlgorithm } from '../policy.js';
import { isCounted, type ResolvedPolicy } from '../resolved-policy.js';
import { FixedCounter } from './fixed-counter.js';
import { GcraCounter } from './gcra-counter.js';
import { LocalBlock } from './local-block.js';
import type { LocalCounter, LocalLimits } from './local-counter.js';
import { LogCounter } from './log-counter.js';
import { SlidingCounter } from './sliding-counter.js';

/** What a call asks for; as the script's modes. */
export type EvaluationMode = 'consume' | 'peek' | 'reserve';

/** A change that does not ask whether there is room; as the other script's. */
export type Change =
  | { readonly kind: 'refund'; readonly reply: readonly number[] }
  | { readonly kind: 'reward' | 'penalize'; readonly amount: number }
  | { readonly kind: 'block' | 'pause'; readonly amountUs: number }
  | { readonly kind: 'reset' };

/** Settings of {@link LocalLimiter}. */
export interface LocalLimiterOptions {
  /** Processes that share a limit: each applies this part of it. */
  readonly instances: number;
  /** Counters kept at most, large ones counting several times; the least recently used are forgotten. */
  readonly maxCounters: number;
}

/** Everything that is known about one policy of one identity. */
interface Entry {
  readonly counter: LocalCounter;
  /** Since when; what was taken before was in a counter that is forgotten. */
  readonly sinceUs: number;
  readonly block: LocalBlock | undefined;
}

/** One policy of a call. */
interface Item {
  readonly policy: ResolvedPolicy;
  readonly limits: LocalLimits;
  readonly entry: Entry;
  readonly cost: number;
}

/**
 * The limiter in the memory of this process: the algorithms and answers of the scripts, for the time
 * without a server. What it let through counts for a whole window, also in the next outage.
 *
 * @internal
 */
export class LocalLimiter {
  private readonly entries: LRUCache<string, Entry>;
  private readonly shares = new WeakMap<ResolvedPolicy, LocalLimits>();

  constructor(
    private readonly options: LocalLimiterOptions,
    private readonly nowUs: () => number = steadyMicroseconds(systemClock),
  ) {
    this.entries = new LRUCache({ maxSize: options.maxCounters });
  }

  /** Counters in memory. */
  get size(): number {
    return this.entries.size;
  }

  /** Judges and takes; the reply is that of the script. */
  evaluate(mode: EvaluationMode, demands: readonly Demand[], maxWaitUs = 0): number[] {
    const nowUs = this.nowUs();
    const items = this.items(demands, nowUs);
    const reply = [1, nowUs];
    const granted: Item[] = [];
    for (const item of items) {
      const isGranted = this.judge(item, mode, maxWaitUs, nowUs, reply);
      if (isGranted) granted.push(item);
      else if (!item.policy.shadow) reply[0] = 0;
    }
    if (mode === 'peek' || reply[0] === 0) return reply;
    for (const [index, item] of items.entries()) {
      if (!granted.includes(item)) continue;
      const { entry, limits, cost } = item;
      const after = entry.counter.judge(limits, cost, nowUs).resetAfterUs;
      entry.counter.take(limits, cost, nowUs);
      reply[2 + index * 3] = Math.max(0, reply[2 + index * 3]! - cost);
      reply[3 + index * 3] = after;
    }
    return reply;
  }

  /** Changes counters; the reply is that of the script. */
  adjust(change: Change, demands: readonly Demand[]): number[] {
    const nowUs = this.nowUs();
    if (change.kind === 'reset') {
      for (const { identity, set } of demands) {
        for (const policy of set.policies) this.entries.delete(identity + policy.keySuffix);
      }
    } else {
      for (const [index, item] of this.items(demands, nowUs).entries()) apply(change, item, index, nowUs);
    }
    return this.evaluate(
      'peek',
      demands.map((demand) => ({ ...demand, cost: 1 })),
    );
  }

  /** Adds left, reset and wait to the reply. */
  private judge(
    item: Item,
    mode: EvaluationMode,
    maxWaitUs: number,
    nowUs: number,
    reply: number[],
  ): boolean {
    const { entry, limits, cost, policy } = item;
    const blockedUs = entry.block?.restUs(nowUs) ?? 0;
    if (blockedUs > 0) {
      reply.push(-1, blockedUs, blockedUs);
      return false;
    }
    const { left, resetUs, waitUs } = entry.counter.judge(limits, cost, nowUs);
    const mayWaitUs = mode === 'reserve' && policy.algorithm === 'gcra' ? maxWaitUs : 0;
    const isGranted = waitUs <= mayWaitUs;
    const lengthUs = isGranted || mode === 'peek' ? 0 : (entry.block?.refuse(policy.block!, nowUs) ?? 0);
    if (lengthUs > 0) reply.push(-1, Math.max(resetUs, lengthUs), Math.max(waitUs, lengthUs));
    else reply.push(left, resetUs, waitUs);
    return isGranted;
  }

  private items(demands: readonly Demand[], nowUs: number): Item[] {
    return demands.flatMap(({ identity, set, cost }) =>
      set.policies.map((policy, index) => {
        const limits = this.share(policy);
        const capacity = policy.algorithm === 'gcra' ? limits.param : limits.limit;
        const units = typeof cost === 'number' ? cost : cost[index]!;
        // What fits the whole limit but not this process's share takes all of the share.
        return {
          policy,
          limits,
          entry: this.entry(identity, policy, nowUs),
          cost: Math.min(units, capacity),
        };
      }),
    );
  }

  private entry(identity: string, policy: ResolvedPolicy, nowUs: number): Entry {
    const key = identity + policy.keySuffix;
    let entry = this.entries.get(key);
    if (!entry) {
      const block = policy.block && new LocalBlock();
      entry = { counter: COUNTERS[policy.algorithm](), sinceUs: nowUs, block };
      const size = Math.min(this.options.maxCounters, sizeOf(policy, this.share(policy)));
      this.entries.set(key, entry, { size });
    }
    return entry;
  }

  private share(policy: ResolvedPolicy): LocalLimits {
    let share = this.shares.get(policy);
    if (!share) {
      const part = (units: number): number => Math.max(1, Math.floor(units / this.options.instances));
      const { limit, windowUs, param, algorithm } = policy;
      share = { limit: part(limit), windowUs, param: algorithm === 'gcra' ? part(param) : param };
      this.shares.set(policy, share);
    }
    return share;
  }
}

/** Times in a log that take as much memory as a small counter. */
const TIMES_PER_COUNTER = 32;

/** How many small counters a counter weighs when it is full. */
function sizeOf({ algorithm }: ResolvedPolicy, { limit }: LocalLimits): number {
  return algorithm === 'sliding-log' ? 1 + Math.floor(limit / TIMES_PER_COUNTER) : 1;
}

const COUNTERS: Readonly<Record<RateLimitAlgorithm, () => LocalCounter>> = {
  sliding: () => new SlidingCounter(),
  'sliding-log': () => new LogCounter(),
  gcra: () => new GcraCounter(),
  fixed: () => new FixedCounter(),
};

function apply(change: Exclude<Change, { kind: 'reset' }>, item: Item, index: number, nowUs: number): void {
  const { entry, limits, cost, policy } = item;
  switch (change.kind) {
    case 'refund':
      if (!isCounted(policy, change.reply[4 + index * 3]!) || change.reply[1]! < entry.sinceUs) break;
      entry.counter.refund(
        limits,
        { cost, atUs: change.reply[1]!, resetUs: change.reply[3 + index * 3]! },
        nowUs,
      );
      break;
    case 'reward':
      entry.counter.reward(limits, change.amount, nowUs);
      break;
    case 'penalize':
      entry.counter.penalize(limits, change.amount, nowUs);
      break;
    case 'block':
      if (policy.block) entry.block?.begin(change.amountUs, policy.block, nowUs);
      break;
    case 'pause':
      if (policy.block) entry.block?.extend(change.amountUs, policy.block, nowUs);
      break;
  }
}

/** Microseconds since the epoch as of the start of the process; does not jump with the machine's clock. */
function steadyMicroseconds(clock: Clock): () => number {
  const offsetMs = clock.now() - clock.monotonicMs();
  return () => Math.floor((offsetMs + clock.monotonicMs()) * 1000);
}
