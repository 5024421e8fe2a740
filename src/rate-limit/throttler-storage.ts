import { Inject, Injectable } from '@nestjs/common';
import { escapeKeyPart } from '../common/index.js';
import { RedisCallError } from '../redis/index.js';
import { encodeIdentity } from './identity.js';
import { PolicyEvaluator } from './policy-evaluator.js';
import { RateLimitUnavailableError } from './rate-limit.errors.js';
import type { ResolvedRateLimitOptions } from './rate-limit.options.js';
import { THROTTLE } from './rate-limit.scripts.js';
import { RATE_LIMIT_OPTIONS } from './rate-limit.tokens.js';
import { ThrottlerMemory, type ThrottlerHit, type ThrottlerReply } from './throttler-memory.js';

/** What a storage of `@nestjs/throttler` answers. Times in seconds, as it sends them. */
export interface ThrottlerRecord {
  /** Hits in the window, the one that is refused included. */
  totalHits: number;
  /** Seconds until the window ends. */
  timeToExpire: number;
  /** Whether the hit is refused. */
  isBlocked: boolean;
  /** Seconds until hits are taken again; 0 when they are. */
  timeToBlockExpire: number;
}

const FREE: ThrottlerRecord = { totalHits: 0, timeToExpire: 0, isBlocked: false, timeToBlockExpire: 0 };

/**
 * A storage for `@nestjs/throttler` 6 on the connection, deadline and `onError` of `RateLimitModule`: for
 * applications that move over route by route. It counts as the throttler's own does, in a window that begins
 * with its first hit; a policy of `RateLimit` is exact in any span.
 *
 * One round trip and one key per throttler and hit. Any `ttl` and `blockDuration` in milliseconds, 0 included.
 *
 * @example
 * ThrottlerModule.forRootAsync({
 *   inject: [RedisThrottlerStorage],
 *   useFactory: (storage: RedisThrottlerStorage) => ({ throttlers: [{ ttl: 60_000, limit: 10 }], storage }),
 * })
 */
@Injectable()
export class RedisThrottlerStorage {
  private readonly memory: ThrottlerMemory;

  constructor(
    @Inject(PolicyEvaluator) private readonly evaluator: PolicyEvaluator,
    @Inject(RATE_LIMIT_OPTIONS) private readonly options: ResolvedRateLimitOptions,
  ) {
    this.memory = new ThrottlerMemory(options.maxLocalCounters);
  }

  /**
   * Counts a hit; called by the throttler's guard.
   *
   * @throws {RateLimitUnavailableError} when Redis does not answer and the module's `onError` is `closed`
   */
  async increment(
    key: string,
    ttl: number,
    limit: number,
    blockDuration: number,
    throttlerName: string,
  ): Promise<ThrottlerRecord> {
    const hit: ThrottlerHit = {
      ttlMs: Math.max(1, Math.ceil(ttl)),
      limit: Math.max(0, Math.floor(limit)),
      blockMs: Math.max(0, Math.ceil(blockDuration)),
    };
    const place = `${this.evaluator.keyStart}${encodeIdentity(['throttler', key])}}:t:${escapeKeyPart(throttlerName)}`;
    const reply = await this.count(place, hit);
    if (reply instanceof RedisCallError) return this.countLocally(place, hit, throttlerName, reply);
    return toRecord(reply);
  }

  private count(
    place: string,
    { ttlMs, limit, blockMs }: ThrottlerHit,
  ): Promise<ThrottlerReply | RedisCallError> {
    return this.evaluator.ask(async (executor, options) => {
      const reply = await executor.script(
        'rate-limit.throttle',
        THROTTLE,
        [place],
        [ttlMs * 1000, limit, blockMs * 1000],
        options,
      );
      const [hits = 0, endsInUs = 0, refused = 0, refusedForUs = 0] = reply;
      return [hits, endsInUs / 1000, refused, refusedForUs / 1000];
    });
  }

  private countLocally(
    place: string,
    hit: ThrottlerHit,
    name: string,
    cause: RedisCallError,
  ): ThrottlerRecord {
    const { onError, instances } = this.options;
    if (onError === 'closed') throw new RateLimitUnavailableError([name], { cause });
    if (onError === 'open') return FREE;
    const share = Math.max(1, Math.floor(hit.limit / instances));
    return toRecord(this.memory.hit(place, { ...hit, limit: Math.min(hit.limit, share) }));
  }
}

function toRecord([totalHits, endsInMs, refused, refusedForMs]: ThrottlerReply): ThrottlerRecord {
  return {
    totalHits,
    timeToExpire: Math.ceil(endsInMs / 1000),
    isBlocked: refused === 1,
    timeToBlockExpire: Math.ceil(refusedForMs / 1000),
  };
}
