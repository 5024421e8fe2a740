export { CACHE_KEYSPACE, type CacheKey } from './cache-key.js';
export type { CacheCounters } from './cache-recorder.js';
export type { CacheDeletion } from './cache-store.js';
export { CacheEncodeError } from './cache.errors.js';
export { CacheModule, type CacheModuleExtras } from './cache.module.js';
export {
  CACHE_DEFAULTS,
  type CacheLoadOptions,
  type CacheOptions,
  type CacheSetOptions,
} from './cache.options.js';
export { CacheService, type CacheLoader, type CacheStats } from './cache.service.js';
export { CACHE_OPTIONS } from './cache.tokens.js';
