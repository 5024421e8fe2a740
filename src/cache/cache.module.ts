import { ConfigurableModuleBuilder, Module, type DynamicModule } from '@nestjs/common';
import { ConnectionRegistry, DrainRegistry, KeyspaceRegistry } from '../redis/index.js';
import { CacheMethodsModule } from './cache-methods.module.js';
import { createCache } from './cache-factory.js';
import { resolveCacheOptions, type CacheNamespaceOptions, type CacheOptions } from './cache.options.js';
import { CacheService } from './cache.service.js';
import { CACHE_OPTIONS, getCacheToken } from './cache.tokens.js';

/** Settings of the module itself, needed before its options are known. */
export interface CacheModuleExtras {
  /** Whether every module can inject {@link CacheService} without importing this one. @default true */
  isGlobal?: boolean;
}

const { ConfigurableModuleClass, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<CacheOptions>({ optionsInjectionToken: CACHE_OPTIONS })
    .setClassMethodName('forRoot')
    .setExtras<CacheModuleExtras>({ isGlobal: true }, (definition, { isGlobal }) => ({
      ...definition,
      global: isGlobal ?? true,
    }))
    .build();

/**
 * Provides {@link CacheService}, and makes the caching decorators work. Needs `RedisModule`; does not wait for its server, because the
 * cache works without one.
 *
 * @example
 * `@Module({ imports: [RedisModule.forRoot(), CacheModule.forRoot({ ttl: 'short' })] })`
 */
@Module({
  imports: [CacheMethodsModule],
  providers: [
    {
      provide: CacheService,
      useFactory: (
        input: CacheOptions,
        registry: ConnectionRegistry,
        drain: DrainRegistry,
        keyspaces: KeyspaceRegistry,
      ) => createCache(resolveCacheOptions(input), { registry, drain, keyspaces }),
      inject: [CACHE_OPTIONS, ConnectionRegistry, DrainRegistry, KeyspaceRegistry],
    },
  ],
  exports: [CacheService],
})
export class CacheModule extends ConfigurableModuleClass {
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

  /**
   * Provides a named cache: a namespace with defaults of its own, on the tiers of the module. Inject it
   * with `@InjectCache(name)`.
   *
   * @throws {ConfigurationError} at start-up, when the name or an option is unusable
   * @example
   * `@Module({ imports: [CacheModule.forFeature('users', { ttl: '5m', tags: ['users'] })] })`
   */
  static forFeature(name: string, options: CacheNamespaceOptions = {}): DynamicModule {
    const token = getCacheToken(name);
    return {
      module: CacheFeatureModule,
      providers: [
        {
          provide: token,
          useFactory: (cache: CacheService) => cache.namespace(name, options),
          inject: [CacheService],
        },
      ],
      exports: [token],
    };
  }
}

/** Holds the named cache of one `forFeature` call. */
@Module({})
class CacheFeatureModule {}
