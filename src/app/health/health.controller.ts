import { Controller, Get } from '@nestjs/common';
import {
  HealthCheck,
  HealthCheckService,
  HealthIndicatorService,
  type HealthCheckResult,
} from '@nestjs/terminus';
import { ConnectionsHealthIndicator, DrainHealthIndicator, RedisHealthIndicator } from 'rednest/health';
import { RateLimiter, SkipRateLimit } from 'rednest/rate-limit';
import { QueuesHealthIndicator } from './queues.indicator.js';

/** Answers probes; never rate limited, never behind a login. */
@Controller('health')
@SkipRateLimit()
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly redis: RedisHealthIndicator,
    private readonly drain: DrainHealthIndicator,
    private readonly connections: ConnectionsHealthIndicator,
    private readonly queues: QueuesHealthIndicator,
    private readonly indicators: HealthIndicatorService,
    private readonly limiter: RateLimiter,
  ) {}

  /** Whether the process runs. A restart does not mend Redis, so Redis has no part in it. */
  @Get('live')
  live(): { status: 'ok' } {
    return { status: 'ok' };
  }

  /** Whether requests should come here: every critical server answers, and the process is not stopping. */
  @Get('ready')
  @HealthCheck()
  ready(): Promise<HealthCheckResult> {
    return this.health.check([() => this.redis.areHealthy(), () => this.drain.isHealthy()]);
  }

  /** Everything, for people. */
  @Get()
  @HealthCheck()
  all(): Promise<HealthCheckResult> {
    return this.health.check([
      () => this.redis.areHealthy('redis', { details: true }),
      () => this.connections.isHealthy(),
      () => this.queues.isHealthy(),
      () => this.drain.isHealthy(),
      // Limits are decided also without Redis; this tells by whom.
      () => this.indicators.check('rateLimits').up({ ...this.limiter.status }),
    ]);
  }

  /** Where Redis is, whether it answers and how fast, and what the server says about itself. */
  @Get('redis')
  @HealthCheck()
  one(): Promise<HealthCheckResult> {
    return this.health.check([() => this.redis.isHealthy('redis', { details: true })]);
  }
}
