import { Inject } from '@nestjs/common';
import { CacheService } from './cache.service.js';

/** Token of the options given to `CacheModule`, as written. */
export const CACHE_OPTIONS = Symbol.for('rednest:cache:options');

/** Token of the cache that is registered under a name with `CacheModule.forFeature`. */
export function getCacheToken(name: string): symbol {
  return Symbol.for(`rednest:cache:named:${name}`);
}

/**
 * Injects a cache registered with `CacheModule.forFeature`; without a name the one of the module, as the
 * class does.
 *
 * @example
 * constructor(@InjectCache('users') private readonly users: CacheService) {}
 */
export function InjectCache(name?: string): ParameterDecorator & PropertyDecorator {
  return Inject(name === undefined ? CacheService : getCacheToken(name));
}
