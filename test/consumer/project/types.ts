// Compiled in a project that has the packed tarball installed, with the strictest settings.
import { Injectable, Module } from '@nestjs/common';
import { InjectRedis, isRednestError, RedisModule, type Duration, type RedisClient } from 'rednest';
import { CacheModule, CacheService, type CacheStats } from 'rednest/cache';
import { EmbeddedRedis, type EmbeddedRedisOptions } from 'rednest/embedded';
import { RedisHealthModule, RedisHealthIndicator, type ConnectionsReport } from 'rednest/health';
import { OnJob, QueueModule, QueueProcessor, type JobContext } from 'rednest/queue';
import { RateLimit, RateLimiter, RateLimitModule, type RateLimitDecision } from 'rednest/rate-limit';

const ttl: Duration = '30s';

/** Injects what the package provides. */
@Injectable()
export class Consumer {
  constructor(
    @InjectRedis() private readonly redis: RedisClient,
    private readonly cache: CacheService,
    private readonly limiter: RateLimiter,
    readonly health: RedisHealthIndicator,
  ) {}

  /** Values keep their types. */
  async read(): Promise<number> {
    const text: string | null = await this.redis.get('key');
    const length: number = await this.cache.getOrSet(['length'], () => text?.length ?? 0, { ttl });
    const stats: CacheStats = this.cache.stats();
    return length + stats.hits;
  }

  /** A decision is a value. */
  @RateLimit({ name: 'login', limit: 5, window: '1m' })
  consume(): Promise<RateLimitDecision> {
    return this.limiter.consume(['ip', '203.0.113.7'], { name: 'login', limit: 5, window: '1m' });
  }
}

/** Handlers are checked against {@link JobContext}. */
@QueueProcessor('mail__outgoing')
export class MailProcessor {
  /** Returns what is stored as the result. */
  @OnJob('send')
  send(mail: { to: string }, { tenantId }: JobContext): string {
    return `${mail.to} of ${tenantId}`;
  }
}

/** Every module with its options. */
@Module({
  imports: [
    RedisModule.forRoot({ app: 'types', embedded: EmbeddedRedis }),
    CacheModule.forRoot({ ttl: 'short' }),
    RateLimitModule.forRoot({ timeout: '50ms' }),
    QueueModule.forRoot({ role: 'producer' }),
    RedisHealthModule.forRoot({ pingTimeout: 500 }),
  ],
})
export class AppModule {}

/** Narrows an unknown error. */
export function codeOf(error: unknown): string | undefined {
  return isRednestError(error) ? error.code : undefined;
}

export const options: EmbeddedRedisOptions = { maxMemory: '64mb' };
export const open = (report: ConnectionsReport): number => report.open;
