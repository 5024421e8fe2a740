import { Injectable } from '@nestjs/common';
import { HealthIndicatorService, type HealthIndicatorResult } from '@nestjs/terminus';
import { DrainRegistry } from '../redis/index.js';

/**
 * `down` from the moment the application begins to shut down, so that readiness answers 503 and new
 * requests go elsewhere while running work ends. Reaches nothing; part of readiness, not of liveness.
 */
@Injectable()
export class DrainHealthIndicator {
  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly drain: DrainRegistry,
  ) {}

  /**
   * Reports whether new work may start.
   *
   * @param key name of this check in the result @default 'shutdown'
   */
  isHealthy<const Key extends string = 'shutdown'>(key: Key = 'shutdown' as Key): HealthIndicatorResult<Key> {
    const session = this.indicators.check(key);
    const { state } = this.drain;
    return state === 'running'
      ? session.up({ state })
      : session.down({ state, message: 'The application is shutting down and takes no new work' });
  }
}
