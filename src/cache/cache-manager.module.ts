import { Module, type DynamicModule } from '@nestjs/common';
import { resolveTtl, type Ttl } from '../redis/index.js';
import { CacheManagerAdapter } from './cache-manager.adapter.js';
import type { CacheManager } from './cache-manager.types.js';
import { CacheService } from './cache.service.js';

/** Token of @nestjs/cache-manager: what injects it gets {@link CacheManager}. */
export const CACHE_MANAGER = 'CACHE_MANAGER';

/** Options of {@link CacheManagerModule}. */
export interface CacheManagerOptions {
  /** Namespace of its entries; `clear` reaches no further. @default 'cache-manager' */
  namespace?: string;
  /** Time to live of what is written without one. @default that of the cache, never for ever */
  ttl?: Ttl;
  /** Whether every module can inject {@link CACHE_MANAGER} without importing this one. @default false */
  isGlobal?: boolean;
}

/**
 * Stands where `CacheModule` of @nestjs/cache-manager stood: provides its token, with its interface, on
 * Rednest. `CacheInterceptor`, `@CacheKey` and `@CacheTTL` of that package go on working. Needs `CacheModule`
 * of `rednest/cache`.
 *
 * What differs: a failure of Redis never rejects, but is the `error` of the event; `wrap` loads once in the
 * whole fleet; without a time to live the default of the cache holds.
 *
 * @example
 * `@Module({ imports: [RedisModule.forRoot(), CacheModule.forRoot(), CacheManagerModule.register({ isGlobal: true })] })`
 */
@Module({})
export class CacheManagerModule {
  /**
   * Registers the module.
   *
   * @throws {ConfigurationError} when an option is unusable
   */
  static register(options: CacheManagerOptions = {}): DynamicModule {
    const { namespace = 'cache-manager', ttl, isGlobal = false } = options;
    const ttlMs = ttl === undefined ? undefined : resolveTtl(ttl);
    return {
      module: CacheManagerModule,
      global: isGlobal,
      providers: [
        {
          provide: CACHE_MANAGER,
          useFactory: (cache: CacheService): CacheManager =>
            new CacheManagerAdapter(cache.namespace(namespace), ttlMs),
          inject: [CacheService],
        },
      ],
      exports: [CACHE_MANAGER],
    };
  }
}
