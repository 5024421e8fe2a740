import type { ModuleRef } from '@nestjs/core';
import { ConfigurationError } from '../common/index.js';
import { CacheService } from './cache.service.js';
import { getCacheToken } from './cache.tokens.js';

/**
 * Finds a cache by name, wherever in the application it is registered; without a name, the one of the module.
 *
 * @param where who asks, for the error
 * @throws {ConfigurationError} when there is none
 */
export function namedCache(modules: ModuleRef, name: string | undefined, where: string): CacheService {
  const token = name === undefined ? CacheService : getCacheToken(name);
  try {
    return modules.get<CacheService>(token, { strict: false });
  } catch (cause) {
    const [which, fix] =
      name === undefined
        ? ['', 'CacheModule.forRoot()']
        : [` "${name}"`, `CacheModule.forFeature('${name}')`];
    throw new ConfigurationError(`${where} has no cache${which}: import ${fix}`, { cause });
  }
}
