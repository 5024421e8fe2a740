import { ConfigurableModuleBuilder, Module, type DynamicModule } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { ConcurrencyLimiter } from './concurrency-limiter.js';
import { PolicyEvaluator } from './policy-evaluator.js';
import { ProxyCheck } from './proxy-check.js';
import { resolveRateLimitOptions, type RateLimitModuleOptions } from './rate-limit.options.js';
import { RATE_LIMIT_MODULE_OPTIONS, RATE_LIMIT_OPTIONS } from './rate-limit.tokens.js';
import { RateLimiter } from './rate-limiter.service.js';
import { RequestCharger } from './request-charger.js';
import { RequestIdentities } from './request-identity.js';
import { RequestOutcomes } from './request-outcomes.js';
import { RequestSlots } from './request-slots.js';
import { RouteCheck } from './route-check.js';
import { RoutePlanner } from './route-planner.js';
import { RedisThrottlerStorage } from './throttler-storage.js';

/** Settings of the module itself. */
export interface RateLimitModuleExtras {
  /** Whether every module can inject `RateLimiter` and use `RateLimitGuard` without importing. @default true */
  isGlobal?: boolean;
}

const { ConfigurableModuleClass, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<RateLimitModuleOptions>({ optionsInjectionToken: RATE_LIMIT_MODULE_OPTIONS })
    .setClassMethodName('forRoot')
    .setExtras<RateLimitModuleExtras>({ isGlobal: true }, (definition, { isGlobal = true }) => ({
      ...definition,
      global: isGlobal,
    }))
    .build();

/**
 * Provides {@link RateLimiter} and what `RateLimitGuard` needs. Needs `RedisModule`. The guard itself is
 * bound by the application, where its place among the other guards matters.
 *
 * @throws {ConfigurationError} at start-up, when an option or a decorator cannot be used
 * @example
 * `@Module({
 *   imports: [RedisModule.forRoot(), RateLimitModule.forRoot({ defaultPolicies: [
 *     { name: 'default', limit: 100, window: '1m' },
 *   ] })],
 *   providers: [{ provide: APP_GUARD, useClass: RateLimitGuard }],
 * })`
 */
@Module({
  imports: [DiscoveryModule],
  providers: [
    {
      provide: RATE_LIMIT_OPTIONS,
      useFactory: (options: RateLimitModuleOptions) => resolveRateLimitOptions(options),
      inject: [RATE_LIMIT_MODULE_OPTIONS],
    },
    PolicyEvaluator,
    ConcurrencyLimiter,
    RateLimiter,
    RoutePlanner,
    RedisThrottlerStorage,
    RouteCheck,
    ProxyCheck,
    RequestIdentities,
    RequestCharger,
    RequestOutcomes,
    RequestSlots,
  ],
  exports: [
    RATE_LIMIT_OPTIONS,
    PolicyEvaluator,
    RateLimiter,
    RedisThrottlerStorage,
    // What guard and interceptor are made of: Nest creates those in the modules that bind them.
    RoutePlanner,
    RequestIdentities,
    RequestCharger,
    RequestOutcomes,
    RequestSlots,
  ],
})
export class RateLimitModule extends ConfigurableModuleClass {
  /** Registers the module. */
  static override forRoot(options: typeof OPTIONS_TYPE = {}): DynamicModule {
    return super.forRoot(options);
  }

  /** Registers the module with options from a factory, class or existing provider. */
  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return super.forRootAsync(options);
  }
}
