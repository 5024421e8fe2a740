import type { Cache } from 'cache-manager';
import type { Cache as NestCache } from '@nestjs/cache-manager';
import { CacheManagerModule, type CacheManager } from 'rednest/cache';

/** What takes a cache of cache-manager 7 takes ours. Never run. */
export function accepted(ours: CacheManager): (Cache | NestCache)[] {
  const theirs: Cache = ours;
  const nest: NestCache = ours;
  CacheManagerModule.register({ namespace: 'legacy', ttl: 'long', isGlobal: true });
  return [theirs, nest];
}

/** What must not compile. Never run. */
export async function refused(ours: CacheManager): Promise<void> {
  // @ts-expect-error keys are text there
  await ours.get(['user', 1]);
  // @ts-expect-error not an event
  ours.on('expired', () => undefined);
  // @ts-expect-error times are milliseconds there
  await ours.set('k', 1, '5m');
  // @ts-expect-error not an option
  CacheManagerModule.register({ stores: [] });
}
