// What the cache benchmarks compare with: each peer as its own documentation sets it up.
import KeyvRedis from '@keyv/redis';
import { NestFactory } from '@nestjs/core';
import { BentoCache, bentostore } from 'bentocache';
import { memoryDriver } from 'bentocache/drivers/memory';
import { redisBusDriver, redisDriver } from 'bentocache/drivers/redis';
import { createCache } from 'cache-manager';
import { Cacheable } from 'cacheable';
import { Redis } from 'ioredis';
import { Keyv } from 'keyv';
import { CacheModule, CacheService, type CacheOptions } from '../../dist/cache/index.js';
import { RedisModule } from '../../dist/index.js';

/** Something opened for a benchmark. */
export interface Opened<T> {
  readonly cache: T;
  readonly close: () => Promise<unknown>;
}

class CacheBenchModule {}

/** A cache of this package in an application of its own. */
export async function openOwn(url: string, options: CacheOptions): Promise<Opened<CacheService>> {
  const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };
  const imports = [
    RedisModule.forRoot({ app: 'bench-cache', env: {}, url, logger: silent }),
    CacheModule.forRoot(options),
  ];
  const app = await NestFactory.createApplicationContext(
    { module: CacheBenchModule, imports },
    { logger: false },
  );
  return { cache: app.get(CacheService), close: () => app.close() };
}

/** bentocache: Redis alone, or memory, Redis and its bus. */
export function openBento(url: string, tiers: 'redis' | 'both') {
  const connections: Redis[] = [];
  const connection = (): Redis => {
    const redis = new Redis(url);
    redis.on('error', () => undefined);
    connections.push(redis);
    return redis;
  };
  const store =
    tiers === 'redis'
      ? bentostore().useL2Layer(redisDriver({ connection: connection() }))
      : bentostore()
          .useL1Layer(memoryDriver({ maxItems: 10_000 }))
          .useL2Layer(redisDriver({ connection: connection() }))
          .useBus(redisBusDriver({ connection: connection() }));
  const bento = new BentoCache({ default: 'main', prefix: `bento-${tiers}`, stores: { main: store } });
  // What it was given it does not end, and it would go on to look for a server that is gone.
  const close = async (): Promise<void> => {
    await bento.disconnectAll();
    for (const redis of connections) redis.disconnect();
  };
  return { cache: bento, close };
}

/** cache-manager on @keyv/redis, with or without memory before it. */
export function openCacheManager(url: string, tiers: 'redis' | 'both') {
  const redis = new Keyv({ store: new KeyvRedis(url), namespace: `manager-${tiers}` });
  redis.on('error', () => undefined);
  const cache = createCache({ stores: tiers === 'both' ? [new Keyv(), redis] : [redis] });
  return { cache, close: () => cache.disconnect() };
}

/** cacheable, with or without memory before Redis. */
export function openCacheable(url: string, tiers: 'redis' | 'both', tags = false) {
  const redis = new Keyv({ store: new KeyvRedis(url), namespace: `cacheable-${tiers}` });
  redis.on('error', () => undefined);
  const settings = tags ? { tags: true } : {};
  const cache =
    tiers === 'both'
      ? new Cacheable({ secondary: redis, ...settings })
      : new Cacheable({ primary: redis, ...settings });
  return { cache, close: () => cache.disconnect() };
}
