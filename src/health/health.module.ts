import { ConfigurableModuleBuilder, Module, type DynamicModule } from '@nestjs/common';
import { HealthIndicatorService } from '@nestjs/terminus';
import { ConnectionRegistry } from '../redis/index.js';
import { ConnectionsHealthIndicator } from './connections.health.js';
import { DrainHealthIndicator } from './drain.health.js';
import {
  resolveRedisHealthOptions,
  type RedisHealthOptions,
  type ResolvedRedisHealthOptions,
} from './health.options.js';
import { REDIS_HEALTH_OPTIONS, RESOLVED_REDIS_HEALTH_OPTIONS } from './health.tokens.js';
import { RedisHealthIndicator } from './redis.health.js';

const { ConfigurableModuleClass, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<RedisHealthOptions>({ optionsInjectionToken: REDIS_HEALTH_OPTIONS })
    .setClassMethodName('forRoot')
    .build();

/**
 * Provides the health indicators. Import it next to Terminus's own module where the health
 * controller lives; it brings no controller and no route.
 *
 * @example
 * `@Module({ imports: [TerminusModule, RedisHealthModule.forRoot()], controllers: [HealthController] })`
 */
@Module({
  providers: [
    {
      provide: RESOLVED_REDIS_HEALTH_OPTIONS,
      useFactory: resolveOptions,
      inject: [REDIS_HEALTH_OPTIONS, ConnectionRegistry],
    },
    // One of our own: that of the application's TerminusModule is not visible from here.
    HealthIndicatorService,
    RedisHealthIndicator,
    DrainHealthIndicator,
    ConnectionsHealthIndicator,
  ],
  exports: [RedisHealthIndicator, DrainHealthIndicator, ConnectionsHealthIndicator],
})
export class RedisHealthModule extends ConfigurableModuleClass {
  /**
   * Registers the module.
   *
   * @throws {ConfigurationError} at start-up, when an option is unusable or no connection has the name
   */
  static override forRoot(options: typeof OPTIONS_TYPE = {}): DynamicModule {
    return super.forRoot(options);
  }

  /** Registers the module with options from a factory, class or existing provider. */
  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return super.forRootAsync(options);
  }
}

/** Opening the connections here makes a wrong name an error of the start, not of the first probe. */
function resolveOptions(input: RedisHealthOptions, registry: ConnectionRegistry): ResolvedRedisHealthOptions {
  const options = resolveRedisHealthOptions(input);
  const { connection, critical } = options;
  const names = typeof critical === 'boolean' ? (critical ? registry.names : []) : (critical ?? []);
  for (const name of [connection, ...names]) registry.connection(name);
  return options;
}
