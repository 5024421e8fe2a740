import { LRUCache } from 'lru-cache';
import { systemClock, type Clock } from '../common/index.js';

/** One hit as the throttler asks for it; times in milliseconds. */
export interface ThrottlerHit {
  readonly ttlMs: number;
  readonly limit: number;
  readonly blockMs: number;
}

/** Hits, milliseconds until the window ends, refused (0 or 1), milliseconds until that ends. */
export type ThrottlerReply = readonly [hits: number, endsInMs: number, refused: number, refusedForMs: number];

interface Counter {
  endsMs: number;
  hits: number;
  blockedMs: number;
}

/**
 * What `throttle.lua` does, in the memory of this process: for the time without a server.
 *
 * @internal
 */
export class ThrottlerMemory {
  private readonly counters: LRUCache<string, Counter>;

  constructor(
    max: number,
    private readonly clock: Clock = systemClock,
  ) {
    this.counters = new LRUCache({ max });
  }

  hit(key: string, { ttlMs, limit, blockMs }: ThrottlerHit): ThrottlerReply {
    const nowMs = this.clock.monotonicMs();
    let counter = this.counters.get(key);
    if (counter && counter.blockedMs > nowMs) {
      const { hits, endsMs, blockedMs } = counter;
      return [hits + 1, Math.max(0, endsMs - nowMs), 1, blockedMs - nowMs];
    }
    if (!counter || counter.endsMs <= nowMs || counter.blockedMs > 0) {
      counter = { endsMs: nowMs + ttlMs, hits: 0, blockedMs: 0 };
      this.counters.set(key, counter);
    }
    const endsInMs = counter.endsMs - nowMs;
    if (counter.hits < limit) {
      counter.hits += 1;
      return [counter.hits, endsInMs, 0, 0];
    }
    if (blockMs > 0) counter.blockedMs = nowMs + blockMs;
    return [counter.hits + 1, endsInMs, 1, blockMs > 0 ? blockMs : endsInMs];
  }
}
