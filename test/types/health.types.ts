import type { DynamicModule } from '@nestjs/common';
import type { HealthCheckService } from '@nestjs/terminus';
import {
  RedisHealthModule,
  type ConnectionsHealthIndicator,
  type DrainHealthIndicator,
  type RedisHealthIndicator,
} from 'rednest/health';

/** What must compile. Never run. */
export async function accepted(
  health: HealthCheckService,
  redis: RedisHealthIndicator,
  drain: DrainHealthIndicator,
  connections: ConnectionsHealthIndicator,
): Promise<void> {
  const result = await health.check([
    () => redis.isHealthy(),
    () => redis.isHealthy('cache', { connection: 'cache' }),
    () => drain.isHealthy(),
    () => connections.isHealthy('links'),
  ]);
  void [result.details.redis, result.details.cache, result.details.shutdown, result.details.links];
  const { ready, open, roles } = connections.report();
  void [ready - open, roles.command?.ready, roles.worker?.open];
  await health.check([]);
}

/** Ways to register the module. Never run. */
export function registered(): DynamicModule[] {
  return [
    RedisHealthModule.forRoot(),
    RedisHealthModule.forRoot({ connection: 'cache', pingTimeout: '300ms', cacheFor: 0 }),
    RedisHealthModule.forRootAsync({ useFactory: () => ({ pingTimeout: 300 }) }),
  ];
}

/** What must not compile. Never run. */
export async function refused(
  redis: RedisHealthIndicator,
  connections: ConnectionsHealthIndicator,
): Promise<void> {
  // @ts-expect-error the result carries the name it was asked for
  void (await redis.isHealthy('cache')).redis;
  // @ts-expect-error a name, not a client
  await redis.isHealthy('redis', { connection: {} });
  // @ts-expect-error not a role
  void connections.report().roles.database;
  // @ts-expect-error not a duration
  RedisHealthModule.forRoot({ pingTimeout: 'soon' });
}
