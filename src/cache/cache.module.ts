import { ConfigurableModuleBuilder, Logger, Module, type DynamicModule } from '@nestjs/common';
import { ConnectionRegistry, DrainRegistry, KeyspaceRegistry } from '../redis/index.js';
import { CACHE_KEYSPACE } from './cache-key.js';
import { CacheLog } from './cache-log.js';
import { CacheRecorder } from './cache-recorder.js';
import { CacheStore } from './cache-store.js';
import { resolveCacheOptions, type CacheOptions } from './cache.options.js';
import { CacheService } from './cache.service.js';
import { CACHE_OPTIONS } from './cache.tokens.js';
import { FencedFlights } from './fenced-flights.js';
import { PendingWrites } from './pending-writes.js';

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
 * Provides {@link CacheService}. Needs `RedisModule`; does not wait for its server, because the
 * cache works without one.
 *
 * @example
 * `@Module({ imports: [RedisModule.forRoot(), CacheModule.forRoot({ ttl: 'short' })] })`
 */
@Module({
  providers: [
    {
      provide: CacheService,
      useFactory: createCache,
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
}

function createCache(
  input: CacheOptions,
  registry: ConnectionRegistry,
  drain: DrainRegistry,
  keyspaces: KeyspaceRegistry,
): CacheService {
  const options = resolveCacheOptions(input);
  const executor = registry.executor(options.connection);
  const observers = { recorder: new CacheRecorder(), log: new CacheLog(new Logger(CacheService.name)) };
  const writes = new PendingWrites(`cache writes (${options.connection}, ${options.namespace})`);
  registry.capabilities.declare({ capability: 'cache', connection: options.connection, critical: false });
  drain.register(writes);
  keyspaces.register(CACHE_KEYSPACE);
  const core = {
    options,
    keyPrefix: registry.configuration.keyPrefix,
    store: new CacheStore(executor, options.codec, observers),
    flights: new FencedFlights(),
    writes,
    observers,
  };
  return new CacheService(core, options.namespace);
}
