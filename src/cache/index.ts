export {
  CACHE_ALL_KEYSPACE,
  CACHE_ENTRY_KEYSPACE,
  CACHE_LEASE_KEYSPACE,
  CACHE_STATE_KEYSPACE,
  CACHE_TAG_KEYSPACE,
  type CacheKey,
} from './cache-key.js';
export { CACHE_MANAGER, CacheManagerModule, type CacheManagerOptions } from './cache-manager.module.js';
export type {
  CacheManager,
  CacheManagerEvents,
  CacheManagerItem,
  CacheManagerRaw,
  CacheManagerWrapOptions,
} from './cache-manager.types.js';
export { CacheMethodsModule } from './cache-methods.module.js';
export type { CacheCounters } from './cache-recorder.js';
export type { CacheDeletion } from './cache-writes.js';
export { Cacheable, CacheConfig, CacheEvict, CachePut, Caching, NoCache } from './cache.decorators.js';
export { CacheEncodeError, CacheLoaderTimeoutError, CacheLoadFailedError } from './cache.errors.js';
export { CacheModule, type CacheModuleExtras } from './cache.module.js';
export {
  CACHE_DEFAULTS,
  type CacheCoherence,
  type CacheNamespaceOptions,
  type CacheOptions,
  type CompressionOptions,
  type MemoryOptions,
} from './cache.options.js';
export { CacheService } from './cache.service.js';
export type {
  CacheEntry,
  CacheLoadManyOptions,
  CacheLoadOptions,
  CacheManyEntry,
  CacheReadOptions,
  CacheSetOptions,
  CacheStats,
  CacheWarmupEntry,
} from './cache.types.js';
export { CACHE_OPTIONS, getCacheToken, InjectCache } from './cache.tokens.js';
export type {
  AnyMethod,
  AsyncMethod,
  CacheableOptions,
  CacheConfigOptions,
  CachedMethodOptions,
  CacheEvictOptions,
  CachePutOptions,
  CachingOptions,
  Fits,
  KeptResult,
  MethodDecoratorOf,
  MethodKey,
  MethodTags,
} from './cached-method.options.js';
export {
  CACHE_ENTRY_DEFAULTS,
  type CacheEntryOptions,
  type EagerRefresh,
  type LoaderTimeouts,
} from './entry.options.js';
export type { EntryValidators } from './entry-format.js';
export { HttpCache, type HttpCacheOptions, type PrincipalFunction } from './http-cache.decorators.js';
export { HttpCacheInterceptor } from './http-cache.interceptor.js';
export type { CacheLoader, LoaderContext, StaleValue } from './loader.js';
export type { CacheCodec } from './value-codec.js';
export {
  WriteBehind,
  type WriteBehindItem,
  type WriteBehindLoss,
  type WriteBehindOptions,
  type WriteBehindStats,
} from './write-behind.js';
