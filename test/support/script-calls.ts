import type { RedisClient } from 'rednest';

/** How often scripts were called on the server, by hash or by source. */
export async function scriptCalls(redis: RedisClient): Promise<number> {
  const calls = (await redis.info('commandstats')).matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g);
  return [...calls].reduce((sum, [, count]) => sum + Number(count), 0);
}
