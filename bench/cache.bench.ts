// A cache hit: 1,000 warm keys, so that calls in flight do not share a read.
import KeyvRedis from '@keyv/redis';
import { createCache } from 'cache-manager';
import { Keyv } from 'keyv';
import { KEYS, type Bench } from './lib/bench.js';

const TTL_MS = 3_600_000;

/** About 200 bytes of JSON. */
function user(id: number) {
  return {
    id: `user-${id}`,
    name: 'Ada Lovelace',
    email: 'ada@example.org',
    roles: ['admin', 'editor'],
    tenant: { id: 'tenant-1', plan: 'business' },
    createdAt: '2024-05-17T09:30:00.000Z',
    active: true,
  };
}

function neverLoaded(): never {
  throw new Error('a warm key was missed');
}

export const cacheBench: Bench = {
  capability: 'cache',
  sequential: 2000,
  concurrent: 15_000,
  async open({ url, cache, floor }) {
    const raw = floor();
    const store = new Keyv({ store: new KeyvRedis(url) });
    store.on('error', () => undefined);
    const peer = createCache({ stores: [store] });
    const names = Array.from({ length: KEYS }, (_, index) => `user-${index}`);
    const name = (index: number): string => names[index % KEYS]!;
    await Promise.all(
      names.map(async (key, index) => {
        await raw.set(key, JSON.stringify(user(index)), 'PX', TTL_MS);
        await cache.set(['user', key], user(index), { ttl: TTL_MS });
        await peer.set(key, user(index), TTL_MS);
      }),
    );
    return {
      operation: 'hit, about 200 bytes of JSON',
      variants: [
        {
          name: 'ioredis get + JSON.parse',
          run: async (index) => JSON.parse((await raw.get(name(index)))!) as unknown,
        },
        { name: 'CacheService.get', run: (index) => cache.get(['user', name(index)]) },
        {
          name: 'CacheService.getOrSet',
          run: (index) => cache.getOrSet(['user', name(index)], neverLoaded, { ttl: TTL_MS }),
        },
        { name: 'cache-manager get', run: (index) => peer.get(name(index)) },
        { name: 'cache-manager wrap', run: (index) => peer.wrap(name(index), neverLoaded, TTL_MS) },
      ],
      close: async () => {
        await peer.disconnect();
      },
    };
  },
};
