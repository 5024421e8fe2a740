import { Module, type DynamicModule, type FactoryProvider } from '@nestjs/common';
import { ConfigurationError } from '../common/index.js';
import { ConnectionRegistry } from '../redis/index.js';
import { OutboundLimiter } from './outbound-limiter.js';
import { resolveOutboundLimit, type OutboundLimitOptions } from './outbound.options.js';
import { getOutboundToken } from './outbound.tokens.js';
import { PolicyEvaluator } from './policy-evaluator.js';
import type { ResolvedRateLimitOptions } from './rate-limit.options.js';
import { RATE_LIMIT_OPTIONS } from './rate-limit.tokens.js';

/**
 * Provides an `OutboundLimiter` for each provider whose limit has to be kept. Needs a global `RateLimitModule`,
 * whose connection, deadline and `onError` apply.
 *
 * @example
 * `@Module({
 *   imports: [OutboundLimitModule.forFeature([{ name: 'maps', limit: 10, window: '1m', maxWait: '30s' }])],
 * })`
 */
@Module({})
export class OutboundLimitModule {
  /** @throws {ConfigurationError} when an option cannot be used, or two limiters have one name */
  static forFeature(limits: readonly OutboundLimitOptions[]): DynamicModule {
    const names = limits.map(({ name }) => name);
    if (new Set(names).size < names.length) {
      throw new ConfigurationError('OutboundLimitModule.forFeature lists two limits of one name; rename one');
    }
    return {
      module: OutboundLimitModule,
      providers: limits.map(toProvider),
      exports: names.map(getOutboundToken),
    };
  }
}

function toProvider(options: OutboundLimitOptions): FactoryProvider<OutboundLimiter> {
  const limit = resolveOutboundLimit(options);
  return {
    provide: getOutboundToken(limit.name),
    inject: [PolicyEvaluator, ConnectionRegistry, RATE_LIMIT_OPTIONS],
    useFactory: (
      evaluator: PolicyEvaluator,
      registry: ConnectionRegistry,
      { connection, onError }: ResolvedRateLimitOptions,
    ) =>
      new OutboundLimiter({
        limit,
        set: limit.toSet(onError),
        evaluator,
        wakeUps: () => registry.wakeUps(connection),
      }),
  };
}
