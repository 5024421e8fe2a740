import type { DynamicModule } from '@nestjs/common';
import { CacheModule, type CacheDeletion, type CacheService, type CacheStats } from 'rednest/cache';

/** Compiles only when both types are the same. */
type Same<A, B> = [A, B] extends [B, A] ? true : never;
function assertSame<A, B>(_proof: Same<A, B>): void {}

interface User {
  id: number;
  name?: string;
}

/** What must compile, and with which types. Never run. */
export async function accepted(cache: CacheService, user: User): Promise<void> {
  const unknownValue = await cache.get('k');
  assertSame<typeof unknownValue, unknown>(true);
  const typed = await cache.get<User>(['user', 1]);
  assertSame<typeof typed, User | undefined>(true);
  const nullable = await cache.get<User | null>('k');
  assertSame<typeof nullable, User | null | undefined>(true);

  const loaded = await cache.getOrSet(['user', user.id] as const, async () => user, {
    ttl: 'short',
    timeout: '50ms',
  });
  assertSame<typeof loaded, User>(true);
  const maybe = await cache.getOrSet('k', async (): Promise<User | undefined> => undefined);
  assertSame<typeof maybe, User | undefined>(true);
  const sync = await cache.getOrSet('k', () => 5);
  assertSame<typeof sync, number>(true);

  const stored = await cache.set('k', user, { ttl: '5m' });
  assertSame<typeof stored, boolean>(true);
  await cache.set('k', null);
  await cache.set('k', 0, { ttl: 1500 });

  const deleted = await cache.delete('a', ['b', 2]);
  assertSame<typeof deleted, CacheDeletion>(true);
  assertSame<ReturnType<typeof cache.stats>, CacheStats>(true);
  assertSame<ReturnType<typeof cache.namespace>, CacheService>(true);
}

/** Ways to register the module. Never run. */
export function registered(): DynamicModule[] {
  return [
    CacheModule.forRoot(),
    CacheModule.forRoot({
      connection: 'cache',
      ttl: 'long',
      timeout: '100ms',
      namespace: 'app',
      isGlobal: false,
    }),
    CacheModule.forRootAsync({ useFactory: async () => ({ ttl: '1h' as const }) }),
  ];
}

/** What must not compile. Never run. */
export async function refused(cache: CacheService, value: User | undefined): Promise<void> {
  // @ts-expect-error undefined is a miss, not a value
  await cache.set('k', undefined);
  // @ts-expect-error nor is what may be undefined
  await cache.set('k', value);
  // @ts-expect-error a key is text or parts
  await cache.get(42);
  // @ts-expect-error a part is text or a number
  await cache.get(['user', undefined]);
  // @ts-expect-error not a tier
  await cache.set('k', 1, { ttl: 'forever' });
  // @ts-expect-error not a unit
  await cache.set('k', 1, { ttl: '5 minutes' });
  // @ts-expect-error a write has no loader
  await cache.set('k', 1, { loaderTimeout: { hard: '1s' } });
  // @ts-expect-error the loader decides the type
  const wrong: string = await cache.getOrSet('k', () => 5);
  // @ts-expect-error counters are read only
  cache.stats().hits = 0;
  // @ts-expect-error not an option
  CacheModule.forRoot({ store: 'redis' });
  return void wrong;
}
