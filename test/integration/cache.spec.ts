import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { Module, type INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import {
  DIAGNOSTICS,
  KeyspaceRegistry,
  REDIS,
  RedisModule,
  type RedisClient,
  type RedisModuleOptions,
} from 'rednest';
import { CacheModule, CacheService, type CacheOptions } from 'rednest/cache';
import { CacheSpace } from '../../src/cache/cache-key.js';
import { startCluster } from '../support/cluster.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startEmbedded, startNative, type TestServer } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

interface Harness {
  app: INestApplicationContext;
  cache: CacheService;
  redis: RedisClient;
  keyPrefix: string;
}

async function start(place: string | RedisModuleOptions, options?: CacheOptions): Promise<Harness> {
  const keyPrefix = uniquePrefix();
  const target = typeof place === 'string' ? { url: place } : place;

  @Module({
    imports: [
      RedisModule.forRoot({ ...target, keyPrefix, env: {}, logger: new TestLog() }),
      CacheModule.forRoot(options),
    ],
  })
  class TestModule {}

  const app = await NestFactory.createApplicationContext(TestModule, { logger: false, abortOnError: false });
  return { app, cache: app.get(CacheService), redis: app.get<RedisClient>(REDIS), keyPrefix };
}

/** A loader that ends when told to. */
function manualLoader<T>(): { load: () => Promise<T>; finish: (value: T) => void; calls: () => number } {
  let calls = 0;
  let finish!: (value: T) => void;
  const result = new Promise<T>((resolve) => (finish = resolve));
  return { load: () => ((calls += 1), result), finish: (value) => finish(value), calls: () => calls };
}

const nextTurn = () => new Promise((resolve) => setTimeout(resolve, 20));

/** A server, or several, and how an application reaches it. */
interface Place {
  readonly redis: RedisModuleOptions;
  /** Parts that a namespace is split into. */
  readonly buckets: number;
  stop(): Promise<void>;
}

const single = (startServer: () => Promise<TestServer>) => async (): Promise<Place> => {
  const server = await startServer();
  return { redis: { url: server.url }, buckets: 1, stop: () => server.stop() };
};

async function startMasters(): Promise<Place> {
  const cluster = await startCluster({ masters: 3, replicasPerMaster: 0 });
  const nodes = cluster.nodes.map(({ port }) => `127.0.0.1:${port}`);
  return { redis: { cluster: { nodes } }, buckets: 16, stop: () => cluster.stop() };
}

function behaviour(startPlace: () => Promise<Place>): void {
  let place: Place;
  let harness: Harness;
  let cache: CacheService;

  const rawKey = (id: string) =>
    new CacheSpace(harness.keyPrefix, 'default', place.buckets).bucketOf(id).entry(id);

  beforeAll(async () => {
    place = await startPlace();
  }, 40_000);
  beforeEach(async () => {
    harness = await start(place.redis);
    cache = harness.cache;
  });
  afterEach(() => harness.app.close());
  afterAll(() => place?.stop());

  it.each([[null], [0], [''], [false], [{ a: [1, { b: null }] }], ['r1:ü€𝄞']])(
    'round-trips %j',
    async (value) => {
      expect(await cache.set('k', value)).toBe(true);

      expect(await cache.get('k')).toEqual(value);
    },
  );

  it('returns undefined for a miss and null for a null', async () => {
    await cache.set('null', null);

    expect(await cache.get('null')).toBeNull();
    expect(await cache.get('nothing')).toBeUndefined();
    expect(cache.stats()).toMatchObject({ hits: 1, misses: 1, writes: 1 });
  });

  it('bounds every entry by its time to live, the default and one of its own', async () => {
    await cache.set('default', 1);
    await cache.set('own', 1, { ttl: '2s' });
    await cache.getOrSet('loaded', async () => 1, { ttl: 'short' });
    await eventually('the loaded value is written', () => cache.stats().pendingWrites === 0);

    const ttls = await Promise.all(['default', 'own', 'loaded'].map((id) => harness.redis.pttl(rawKey(id))));

    expect(ttls.every((ttl) => ttl > 0)).toBe(true);
    expect(ttls[0]).toBeLessThanOrEqual(300_000);
    expect(ttls[0]).toBeGreaterThan(284_000);
    expect(ttls[1]).toBeLessThanOrEqual(2_000);
    expect(ttls[2]).toBeLessThanOrEqual(30_000);
    expect(ttls[2]).toBeGreaterThan(25_000);
  });

  it('loads once for 200 callers', async () => {
    const { load, finish, calls } = manualLoader<{ id: number }>();

    const callers = Array.from({ length: 200 }, () => cache.getOrSet(['user', 1], load));
    await nextTurn();
    finish({ id: 1 });
    const values = await Promise.all(callers);

    expect(calls()).toBe(1);
    expect(new Set(values).size).toBe(1);
    expect(cache.stats()).toMatchObject({ loads: 1, joined: 199, misses: 1 });
    expect(await cache.get(['user', 1])).toEqual({ id: 1 });
  });

  it('hands a loader error to every waiter and caches nothing', async () => {
    let calls = 0;
    const failing = async () => {
      calls += 1;
      await nextTurn();
      throw new Error('database is gone');
    };

    const results = await Promise.allSettled(Array.from({ length: 10 }, () => cache.getOrSet('k', failing)));

    expect(calls).toBe(1);
    expect(results.every((result) => result.status === 'rejected')).toBe(true);
    expect(await harness.redis.exists(rawKey('k'))).toBe(0);
    expect(await cache.getOrSet('k', () => 'next')).toBe('next');
    expect(cache.stats()).toMatchObject({ loads: 2, loadFailures: 1 });
  });

  it('returns undefined from a loader without caching it, and caches null', async () => {
    let loads = 0;
    const twice = async (key: string, value: null | undefined) => {
      for (let i = 0; i < 2; i += 1) {
        expect(await cache.getOrSet(key, () => ((loads += 1), value))).toBe(value);
      }
    };

    await twice('absent', undefined);
    expect(loads).toBe(2);
    await twice('null', null);
    expect(loads).toBe(3);
  });

  it('does not let a load bring back what was deleted meanwhile', async () => {
    const { load, finish } = manualLoader<string>();
    const before = cache.getOrSet('k', load);
    await nextTurn();

    expect(await cache.delete('k')).toEqual({ removed: 0, confirmed: true });
    const after = cache.getOrSet('k', () => 'new');
    finish('old');

    expect(await Promise.all([before, after])).toEqual(['old', 'new']);
    expect(await cache.get('k')).toBe('new');
    expect(cache.stats()).toMatchObject({ discardedWrites: 1, writes: 1, joined: 0 });
  });

  it('does not let a load overwrite what was set meanwhile', async () => {
    const { load, finish } = manualLoader<string>();
    const loading = cache.getOrSet('k', load);
    await nextTurn();

    await cache.set('k', 'set');
    finish('old');

    expect(await loading).toBe('old');
    expect(await cache.get('k')).toBe('set');
  });

  it.each([
    ['text something else wrote', 'hello'],
    ['a broken entry', 'r1:{"a":'],
    ['an entry of another version', 'r9:{}'],
  ])('treats %s as a miss and replaces it', async (_name, text) => {
    await harness.redis.set(rawKey('k'), text, 'PX', 60_000);

    expect(await cache.get('k')).toBeUndefined();
    expect(await cache.getOrSet('k', () => 'loaded')).toBe('loaded');
    expect(await cache.get('k')).toBe('loaded');
    expect(cache.stats()).toMatchObject({ corrupt: 2, misses: 2, hits: 1, readFailures: 0 });
  });

  it('treats a key of another type as a miss and replaces it', async () => {
    await harness.redis.rpush(rawKey('k'), 'a', 'b');

    expect(await cache.getOrSet('k', () => 'loaded')).toBe('loaded');
    expect(await cache.get('k')).toBe('loaded');
    expect(cache.stats()).toMatchObject({ corrupt: 1, readFailures: 0 });
  });

  it('deletes several entries in one call', async () => {
    await Promise.all([cache.set('a', 1), cache.set(['b', 2], 1)]);

    expect(await cache.delete('a', ['b', 2], 'c')).toEqual({ removed: 2, confirmed: true });
    expect(await cache.get('a')).toBeUndefined();
    expect(await cache.delete()).toEqual({ removed: 0, confirmed: true });
  });

  it('keeps namespaces apart', async () => {
    const users = cache.namespace('users');
    await Promise.all([users.set('k', 'user'), cache.set('k', 'default')]);

    await cache.delete('k');

    expect(await users.get('k')).toBe('user');
    expect(await cache.get('k')).toBeUndefined();
    expect(users.name).toBe('users');
    expect(() => cache.namespace('')).toThrow(expect.objectContaining({ code: 'ERR_CONFIGURATION' }));
  });

  it('refuses a value it cannot keep when told to keep it, and returns it when it was loaded', async () => {
    await expect(cache.set('k', () => 1)).rejects.toMatchObject({ code: 'ERR_CACHE_ENCODE' });
    expect(await cache.getOrSet('k', () => Symbol.iterator)).toBe(Symbol.iterator);

    await eventually('the refusal is counted', () => cache.stats().writeFailures === 1);
    expect(cache.stats()).toMatchObject({ writeFailures: 1, writes: 0 });
  });

  it('refuses an unusable key or time to live', async () => {
    const configuration = { code: 'ERR_CONFIGURATION' };

    await expect(cache.get('')).rejects.toMatchObject(configuration);
    await expect(cache.set('k', 1, { ttl: 0 })).rejects.toMatchObject(configuration);
    await expect(cache.getOrSet('k', () => 1, { timeout: -1 })).rejects.toMatchObject(configuration);
    await expect(cache.delete('k', '')).rejects.toMatchObject(configuration);
  });

  it('registers its keyspaces', () => {
    const own = harness.app.get(KeyspaceRegistry).table();
    const patterns = own.filter(({ pattern }) => pattern.includes(':cache')).map(({ pattern }) => pattern);

    expect(patterns.sort()).toEqual([
      '<prefix>:cache-sync:{namespace}:lease:<key>',
      '<prefix>:cache-sync:{namespace}:state',
      '<prefix>:cache:{namespace}:all',
      '<prefix>:cache:{namespace}:entry:<key>',
      '<prefix>:cache:{namespace}:tag:<tag>',
    ]);
    expect(own).toContainEqual(
      expect.objectContaining({ pattern: '<prefix>:cache:{namespace}:entry:<key>', ttlMs: 'per-call' }),
    );
  });

  it('tells subscribers what happens', async () => {
    const events: string[] = [];
    const listen = (message: unknown) => void events.push((message as { event: string }).event);
    subscribe(DIAGNOSTICS.cache, listen);

    await cache.getOrSet('k', () => 1);
    await eventually('the value is written', () => cache.stats().writes === 1);
    await cache.get('k');
    await cache.delete('k');
    unsubscribe(DIAGNOSTICS.cache, listen);

    expect(events).toEqual(['miss', 'load', 'write', 'hit', 'delete']);
  });

  it('never serves what is older than a confirmed set or delete, when loads, sets and deletes race', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    process.stderr.write(`cache race seed: ${seed}\n`);
    const random = mulberry32(seed);
    let version = 0;
    let confirmedVersion = 0;
    const served: { value: number; floor: number }[] = [];
    const writer = async (): Promise<void> => {
      for (let i = 0; i < 30; i += 1) {
        await pause(random() * 6);
        // As an application does: the source changes first, then the cache is told.
        version += 1;
        const written = version;
        await (random() < 0.5 ? cache.delete('k') : cache.set('k', written));
        confirmedVersion = written;
      }
    };
    const reader = async (): Promise<void> => {
      for (let i = 0; i < 40; i += 1) {
        const floor = confirmedVersion;
        const value = await cache.getOrSet('k', async () => {
          const read = version;
          await pause(random() * 8);
          return read;
        });
        served.push({ value, floor });
        await pause(random() * 3);
      }
    };

    await Promise.all([writer(), ...Array.from({ length: 8 }, reader)]);

    expect(served.filter(({ value, floor }) => value < floor)).toEqual([]);
    expect(cache.stats()).toMatchObject({ readFailures: 0, writeFailures: 0, deleteFailures: 0 });
  });
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

describe('CacheService on the embedded server', () => {
  behaviour(single(startEmbedded));
});
describeNative('CacheService on redis-server', () => {
  behaviour(single(startNative));
});
describeNative('CacheService on a Cluster of 3 masters', () => {
  behaviour(startMasters);
});

describe('CacheModule', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startEmbedded();
  });
  afterAll(() => server.stop());

  it.each<[string, CacheOptions, RegExp]>([
    ['options', { ttl: 'forever' as never }, /ttl/],
    ['a connection', { connection: 'elsewhere' }, /No Redis connection is named "elsewhere"/],
  ])('ends the start when it is given %s that cannot be used', async (_name, options, message) => {
    // A start that fails leaves its connections to the end of the process: this one is the test's.
    const client = new Redis(server.url);
    client.on('error', () => undefined);
    await client.ping();

    @Module({
      imports: [
        RedisModule.forRoot({ client, env: {}, logger: new TestLog() }),
        CacheModule.forRoot(options),
      ],
    })
    class TestModule {}
    const started = NestFactory.createApplicationContext(TestModule, { logger: false, abortOnError: false });

    await expect(started).rejects.toThrow(message);
    await client.quit();
  });

  it('takes its options from a factory', async () => {
    @Module({
      imports: [
        RedisModule.forRoot({ url: server.url, keyPrefix: uniquePrefix(), env: {}, logger: new TestLog() }),
        CacheModule.forRootAsync({ useFactory: () => ({ namespace: 'pages', ttl: '1s' as const }) }),
      ],
    })
    class TestModule {}
    const app = await NestFactory.createApplicationContext(TestModule, {
      logger: false,
      abortOnError: false,
    });

    expect(app.get(CacheService).name).toBe('pages');
    await app.close();
  });

  it('waits at shutdown for values that are being written', async () => {
    const { app, cache, keyPrefix } = await start(server.url);
    const other = await start(server.url);

    await cache.getOrSet('k', () => 'last');
    expect(cache.stats().pendingWrites).toBe(1);
    await app.close();

    expect(cache.stats()).toMatchObject({ pendingWrites: 0, writes: 1 });
    expect(await other.redis.exists(`${keyPrefix}:cache:{default}:entry:k`)).toBe(1);
    await other.app.close();
  });
});

describeNative('CacheService round trips', () => {
  let server: TestServer;
  let harness: Harness;
  beforeAll(async () => {
    server = await startNative();
    harness = await start(server.url);
  });
  afterAll(async () => {
    await harness.app.close();
    await server.stop();
  });

  /** Commands the server was sent during `work`, those of scripts left out; it is private to this suite. */
  async function commandsOf(work: () => Promise<unknown>): Promise<string[]> {
    const client = new Redis(server.url);
    client.on('error', () => undefined);
    const monitor = await client.monitor();
    monitor.on('error', () => undefined);
    // The monitor is a connection of its own.
    client.disconnect();
    const seen: string[] = [];
    monitor.on('monitor', (_time, args: string[], source: string) => {
      if (source !== 'lua') seen.push(args[0]!.toLowerCase());
    });
    await work();
    await harness.redis.echo('end');
    await eventually('the monitor has caught up', () => seen.at(-1) === 'echo');
    monitor.disconnect();
    // Heartbeats and readiness checks of the connections come when they like.
    return seen.slice(0, -1).filter((name) => !['ping', 'info', 'client', 'subscribe'].includes(name));
  }

  it('are none from memory and one per call otherwise', async () => {
    const { cache } = harness;
    await cache.set('memory', 1);
    await cache.deleteByTag('warm');
    await cache.getMany(['memory', 'l']);
    await cache.getOrSet('memory', () => 2);
    await eventually('the memory tier is armed', () => cache.stats().isCoherent);
    await cache.get('memory');
    const l2 = { memory: false } as const;
    await cache.get('warm', l2);

    expect(await commandsOf(() => cache.get('memory'))).toEqual([]);
    expect(await commandsOf(() => cache.getOrSet('memory', () => 2))).toEqual([]);
    expect(await commandsOf(() => cache.set('k', 1))).toEqual(['evalsha']);
    expect(await commandsOf(() => cache.get('k', l2))).toEqual(['evalsha']);
    expect(await commandsOf(() => cache.getOrSet('k', () => 2, l2))).toEqual(['evalsha']);
    expect(await commandsOf(() => cache.getMany(['k', 'l', 'm'], l2))).toEqual(['evalsha']);
    expect(await commandsOf(() => cache.deleteByTag('a', 'b'))).toEqual(['evalsha']);
    expect(await commandsOf(() => cache.getEntry('k', l2))).toEqual(['evalsha']);
    await cache.delete('x');
    await cache.setMany([{ key: 'x', value: 1 }]);
    await cache.add('x', 1);
    await cache.expire('x');
    await cache.writeThrough('x', 1, () => undefined);
    expect(await commandsOf(() => cache.add('k', 1))).toEqual(['evalsha']);
    expect(await commandsOf(() => cache.expire('k', 'l'))).toEqual(['evalsha']);
    expect(await commandsOf(() => cache.expireByTag('a'))).toEqual(['evalsha']);
    expect(await commandsOf(() => cache.has('memory'))).toEqual([]);
    expect(await commandsOf(() => cache.writeThrough('k', 1, () => undefined))).toEqual([
      'evalsha',
      'evalsha',
    ]);
    const values = Array.from({ length: 100 }, (_, key) => ({ key: ['many', key], value: key }));
    expect(await commandsOf(() => cache.setMany(values))).toEqual(['evalsha']);
    expect(await commandsOf(() => cache.delete('k', 'l', 'm'))).toEqual(['evalsha']);
    expect(await commandsOf(() => cache.clear())).toEqual(['evalsha']);
  });

  it('are one before and one after the loader for many that are missing', async () => {
    const { cache } = harness;
    const ids = Array.from({ length: 100 }, (_, id) => id);
    const many = async (name: string) => {
      const load = async (missing: number[]) => new Map(missing.map((id) => [id, id]));
      const values = await cache.getOrSetMany(ids, (id) => [name, id], load, { memory: false });
      await eventually('the values are written', () => cache.stats().pendingWrites === 0);
      expect(values.size).toBe(100);
    };
    await many('warm');

    expect(await commandsOf(() => many('cold'))).toEqual(['evalsha', 'evalsha']);
    expect(await commandsOf(() => many('cold'))).toEqual(['evalsha']);
  });

  it('are one for invalidations of one tick, in the order of the calls', async () => {
    const { cache } = harness;
    const tags = ['t'];
    await cache.expireByTag('warm');
    const work = async () => {
      await Promise.all([
        cache.set('before', 1, { tags }),
        cache.deleteByTag('t'),
        cache.deleteByTag('u', 'v'),
        cache.set('after', 2, { tags }),
        cache.expireByTag('w'),
        cache.expireByTag('x'),
      ]);
    };

    expect(await commandsOf(work)).toEqual(['evalsha', 'evalsha', 'evalsha', 'evalsha']);
    expect(await cache.getMany(['before', 'after'], { memory: false })).toEqual(new Map([['after', 2]]));
  });

  it('are one before and one after the loader for a miss, however many wait', async () => {
    const { cache } = harness;
    const load = () => nextTurn().then(() => 1);
    await cache.getOrSet('warm', load);
    const work = async () => {
      await Promise.all(Array.from({ length: 200 }, () => cache.getOrSet('many', load)));
      await eventually('the value is written', () => cache.stats().pendingWrites === 0);
    };

    expect(await commandsOf(work)).toEqual(['evalsha', 'evalsha']);
  });
});
