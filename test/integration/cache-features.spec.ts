import type { TestingModule } from '@nestjs/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Packr } from 'msgpackr';
import { REDIS, type RedisClient, type RedisModuleOptions } from 'rednest';
import {
  CacheModule,
  CacheService,
  getCacheToken,
  type CacheOptions,
  type LoaderContext,
} from 'rednest/cache';
import { createModule, inject } from '../support/app.js';
import { startCluster, type TestCluster } from '../support/cluster.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startNative, type NativeServer } from '../support/servers.js';

describeNative('CacheService features on redis-server', () => {
  let server: NativeServer;
  beforeAll(async () => {
    server = await startNative();
  });
  afterAll(() => server.stop());

  behaviour(() => ({ url: server.url }));
});

describeNative('CacheService features on a Cluster of 3 masters', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster({ replicasPerMaster: 0 });
  }, 60_000);
  afterAll(() => cluster.stop());

  behaviour(() => ({ env: cluster.env }));
});

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A promise and its end. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

function behaviour(place: () => RedisModuleOptions): void {
  let modules: TestingModule[];
  let keyPrefix: string;
  let cache: CacheService;
  let other: CacheService;

  async function open(options: CacheOptions = {}): Promise<CacheService> {
    const module = await createModule({
      redis: { ...place(), keyPrefix },
      imports: [CacheModule.forRoot(options), CacheModule.forFeature('named', { ttl: '1s', jitter: 0 })],
    });
    modules.push(module);
    return inject(module, CacheService);
  }

  beforeEach(async () => {
    modules = [];
    keyPrefix = uniquePrefix();
    cache = await open();
    other = await open();
  });
  afterEach(async () => {
    for (const module of modules) await module.close();
  });

  const idle = () => eventually('nothing is being written', () => cache.stats().pendingWrites === 0);

  it('keeps values equal through both tiers', async () => {
    const value = {
      date: new Date(86_400_000),
      big: 12_345_678_901_234_567_890n,
      map: new Map<unknown, unknown>([['a', new Set([1, 2])]]),
      buffer: Buffer.from([0, 255, 10]),
      bytes: new Uint8Array([1, 2]),
      nan: Number.NaN,
      minusZero: -0,
      missing: undefined,
      none: null,
    };

    await cache.set('k', value);

    expect(await other.get('k')).toEqual(value);
    expect(Buffer.isBuffer((await other.get<typeof value>('k'))!.buffer)).toBe(true);
    await eventually('a copy is in memory', async () => (await cache.get('k')) && cache.peek('k'));
    expect(cache.peek('k')).toEqual(value);
    expect(Object.isFrozen(cache.peek('k'))).toBe(true);
  });

  it('reads, adds, deletes and counts many keys in few calls', async () => {
    const keys = Array.from({ length: 120 }, (_, id) => ['user', id] as const);
    expect(await cache.setMany(keys.map((key) => ({ key, value: key[1] })))).toBe(true);

    expect(await other.getMany(keys)).toEqual(new Map(keys.map((key) => [key, key[1]])));
    expect(await cache.add(['user', 0], 'second')).toBe(false);
    expect(await cache.add('new', 'first')).toBe(true);
    expect(await cache.has('new')).toBe(true);
    expect(await cache.delete(...keys)).toEqual({ removed: 120, confirmed: true });
    expect((await other.getMany(keys)).size).toBe(0);
  });

  it('loads what is missing of many ids with one call', async () => {
    await cache.set(['id', 1], 'one');
    const asked: number[][] = [];
    const load = async (missing: number[]) => {
      asked.push(missing);
      return new Map(missing.filter((id) => id !== 4).map((id) => [id, `loaded ${id}`]));
    };

    const values = await cache.getOrSetMany([1, 2, 3, 4], (id) => ['id', id], load);
    await idle();

    expect(values).toEqual(
      new Map([
        [1, 'one'],
        [2, 'loaded 2'],
        [3, 'loaded 3'],
      ]),
    );
    expect(asked).toEqual([[2, 3, 4]]);
    expect(await other.get(['id', 3])).toBe('loaded 3');
  });

  describe('of many ids', () => {
    const ids = Array.from({ length: 40 }, (_, id) => id);
    const keyOf = (id: number) => ['many', id];
    const answers = (missing: number[], text: string) => new Map(missing.map((id) => [id, `${text} ${id}`]));

    it('loads each once, whoever else asks for some of them at the same time', async () => {
      const { opened, open: finish } = gate();
      const asked: number[][] = [];
      const loader = (text: string) => async (missing: number[]) => {
        asked.push(missing);
        await opened;
        return answers(missing, text);
      };
      const first = cache.getOrSetMany(ids.slice(0, 30), keyOf, loader('first'));
      await eventually('it loads', () => asked.length === 1);
      const second = other.getOrSetMany(ids.slice(10), keyOf, loader('second'));
      await eventually('the other loads the rest, and waits', () => asked.length === 2);
      await eventually('it waits', () => other.stats().waits === 20);
      const single = other.getOrSet(keyOf(0), () => 'never');

      finish();

      expect(await first).toEqual(answers(ids.slice(0, 30), 'first'));
      expect(await second).toEqual(
        new Map([...answers(ids.slice(30), 'second'), ...answers(ids.slice(10, 30), 'first')]),
      );
      expect(await single).toBe('first 0');
      expect(asked).toEqual([ids.slice(0, 30), ids.slice(30)]);
      await idle();
      expect((await other.getMany(ids.map(keyOf), { memory: false })).size).toBe(40);
    });

    it('loads itself what another one gives up, and fails with its own loader only', async () => {
      const { opened, open: finish } = gate();
      const first = cache.getOrSetMany(ids, keyOf, () =>
        opened.then(() => Promise.reject(new Error('first'))),
      );
      const failure = first.catch((error: Error) => error.message);
      await eventually('it loads', () => cache.stats().loads === 1);
      const second = other.getOrSetMany(ids, keyOf, async (missing) => answers(missing, 'second'));
      await eventually('the other waits', () => other.stats().waits === 40);

      finish();

      expect(await failure).toBe('first');
      expect(await second).toEqual(answers(ids, 'second'));
      expect(other.stats().loads).toBe(1);
    });

    it('keeps no value that a newer write or an invalidation has overtaken', async () => {
      const { opened, open: finish } = gate();
      const load = async (missing: number[]) => {
        await opened;
        return answers(missing, 'old');
      };
      const options = { tags: ['t'] };
      const loading = cache.getOrSetMany([1, 2, 3], keyOf, load, options);
      const tagged = cache.namespace('tagged').getOrSetMany([1], keyOf, load, options);
      await eventually('they load', () => cache.stats().loads === 2);
      await other.set(keyOf(1), 'new');
      await other.delete(keyOf(2));
      await other.namespace('tagged').deleteByTag('t');

      finish();

      expect(await loading).toEqual(answers([1, 2, 3], 'old'));
      await tagged;
      await eventually('two were written over, one was overtaken by its tag', () => {
        const { discardedWrites, pendingWrites } = cache.stats();
        return pendingWrites === 0 && discardedWrites === 3;
      });
      expect(await other.getMany([1, 2, 3].map(keyOf), { memory: false })).toEqual(
        new Map([
          [keyOf(1), 'new'],
          [keyOf(3), 'old 3'],
        ]),
      );
      expect(await other.namespace('tagged').get(keyOf(1))).toBeUndefined();
    });

    it('renews the leases of a slow load with one timer', async () => {
      const { opened, open: finish } = gate();
      const options = { lease: '100ms' } as const;
      const load = async (missing: number[]) => {
        await opened;
        return answers(missing, 'slow');
      };
      const loading = cache.getOrSetMany(ids, keyOf, load, options);
      await eventually('it loads', () => cache.stats().loads === 1);
      const second = other.getOrSetMany(ids, keyOf, async (missing) => answers(missing, 'second'), options);
      await eventually('the other waits', () => other.stats().waits === 40);

      // Three times as long as the lease is without renewal.
      await pause(300);
      finish();

      expect(await loading).toEqual(answers(ids, 'slow'));
      expect(await second).toEqual(answers(ids, 'slow'));
      expect(other.stats().loads).toBe(0);
    });

    it('waits no longer than it may, and then loads what it does not keep', async () => {
      const never = () => new Promise<never>(() => undefined);
      void cache.getOrSetMany(ids, keyOf, never);
      await eventually('it loads', () => cache.stats().loads === 1);

      const options = { waitTimeout: '50ms' } as const;
      const second = other.getOrSetMany(ids, keyOf, async (missing) => answers(missing, 'own'), options);

      expect(await second).toEqual(answers(ids, 'own'));
      expect(await other.get(keyOf(0), { memory: false })).toBeUndefined();
    });

    it('replaces what this version of the cache cannot read', async () => {
      await cache.namespace('n', { version: 1 }).set(keyOf(1), 'one');
      const renewed = cache.namespace('n', { version: 2 });

      const values = await renewed.getOrSetMany([1, 2], keyOf, async (missing) => answers(missing, 'two'));
      await idle();

      expect(values).toEqual(answers([1, 2], 'two'));
      expect(await renewed.get(keyOf(1), { memory: false })).toBe('two 1');
    });

    it('agrees with nobody without a lease', async () => {
      const { opened, open: finish } = gate();
      const first = cache.getOrSetMany([1], keyOf, (missing) => opened.then(() => answers(missing, 'a')));
      await eventually('it loads', () => cache.stats().loads === 1);

      const second = other.getOrSetMany([1], keyOf, async (missing) => answers(missing, 'b'), {
        lease: false,
      });

      expect(await second).toEqual(answers([1], 'b'));
      finish();
      expect(await first).toEqual(answers([1], 'a'));
    });
  });

  it('voids by tag, in constant time and everywhere', async () => {
    const ids = Array.from({ length: 60 }, (_, id) => id);
    await Promise.all(ids.map((id) => cache.set(['t', id], id, { tags: [id % 2 ? 'odd' : 'even', 'all'] })));

    expect(await other.deleteByTag('odd')).toBe(true);
    expect([...(await cache.getMany(ids.map((id) => ['t', id]))).values()]).toEqual(
      ids.filter((id) => id % 2 === 0),
    );

    await cache.set(['t', 1], 'again', { tags: ['odd', 'all'] });
    expect(await other.get(['t', 1])).toBe('again');
    await other.deleteByTag('all');
    const all = ids.map((id) => ['t', id]);
    expect((await cache.getMany(all, { memory: false })).size).toBe(0);
    await eventually('memory has heard of it', async () => (await cache.getMany(all)).size === 0, 500);
  });

  it('clears a namespace and nothing else', async () => {
    const users = cache.namespace('users');
    await Promise.all([users.set('k', 1), cache.set('k', 2)]);

    await other.namespace('users').clear();

    expect(await users.get('k')).toBeUndefined();
    expect(await cache.get('k')).toBe(2);
  });

  it('expires by key and by tag: stale values stand in for a loader that fails', async () => {
    const options = { grace: '1h', tags: ['t'] } as const;
    const fails = () => Promise.reject(new Error('down'));
    for (const expire of [
      () => other.expire('k'),
      () => other.expireByTag('t'),
      () => other.clear({ mode: 'expire' }),
    ]) {
      await cache.set('k', 'kept', options);

      await expire();

      expect(await cache.get('k')).toBeUndefined();
      expect((await cache.getEntry('k'))?.isStale).toBe(true);
      expect(await cache.getOrSet('k', fails, { ...options, graceBackoff: '1ms' })).toBe('kept');
      await idle();
    }
  });

  it('backs off in the whole fleet after a loader failed', async () => {
    const options = { grace: '1h', graceBackoff: '1m', ttl: '500ms', jitter: 0 } as const;
    let loads = 0;
    const fails = async () => {
      loads += 1;
      throw new Error('down');
    };
    await cache.set('k', 'kept', options);
    await eventually('it is stale', async () => (await cache.get('k')) === undefined);

    for (const each of [cache, other, cache, other]) {
      expect(await each.getOrSet('k', fails, options)).toBe('kept');
      await idle();
    }

    expect(loads).toBe(1);
    await cache.set('k', 'new', { ...options, ttl: '1h' });
    expect(await other.getOrSet('k', fails, options)).toBe('new');
  });

  it('hands on the error of a loader when there is nothing to stand in for it, and lets the next one load', async () => {
    await expect(
      cache.getOrSet('k', () => Promise.reject(new Error('down')), { grace: '1h' }),
    ).rejects.toThrow('down');
    await idle();

    expect(await other.getOrSet('k', () => 'up')).toBe('up');
  });

  it('answers a stale value at once while one caller loads in the background', async () => {
    const options = { ttl: '50ms', staleWhileRevalidate: '1h', jitter: 0 } as const;
    let loads = 0;
    const load = async () => {
      loads += 1;
      await pause(30);
      return `load ${loads}`;
    };
    await cache.set('k', 'old', options);
    await eventually('it is stale', async () => (await cache.get('k')) === undefined);

    const answers = await Promise.all(
      [cache, other, cache, other].map((each) => each.getOrSet('k', load, options)),
    );

    expect(answers).toEqual(['old', 'old', 'old', 'old']);
    await eventually('the new value is there', async () => (await other.getEntry('k'))?.value === 'load 1');
    expect(loads).toBe(1);
  });

  it('loads anew before a value is stale', async () => {
    const load = () => 'new';
    for (const eagerRefresh of [0, { beta: 1e9 }] as const) {
      await cache.set('k', 'old', { ttl: '1h' });

      expect(await cache.getOrSet('k', load, { eagerRefresh })).toBe('old');

      await eventually('the new value is there', async () => (await other.get('k')) === 'new');
    }
    await cache.set('k', 'old', { ttl: '1h' });
    expect(await cache.getOrSet('k', load, { eagerRefresh: 0.9 })).toBe('old');
    await idle();
    expect(await other.get('k')).toBe('old');
  });

  it('answers a stale value when the loader is late, and keeps what it loads in the end', async () => {
    const options = { grace: '1h', loaderTimeout: { soft: '20ms' } } as const;
    await cache.set('k', 'old', options);
    await cache.expire('k');

    expect(await cache.getOrSet('k', () => pause(150).then(() => 'new'), options)).toBe('old');

    await eventually('the late value is there', async () => (await other.get('k')) === 'new');
  });

  it('gives up on a loader after the hard limit, and keeps what it loads in the end unless told not to', async () => {
    const loaderTimeout = { hard: '20ms' } as const;
    const late = () => pause(100).then(() => 'late');

    await expect(cache.getOrSet('a', late, { loaderTimeout })).rejects.toMatchObject({
      code: 'ERR_CACHE_LOADER_TIMEOUT',
      timeoutMs: 20,
    });
    await eventually('the late value is there', async () => (await other.get('a')) === 'late');

    let signal: AbortSignal | undefined;
    const abortable = (context: LoaderContext<string>) => {
      signal = context.signal;
      return late();
    };
    const options = { loaderTimeout, backgroundCompletion: false };
    await expect(cache.getOrSet('b', abortable, options)).rejects.toMatchObject({ timeoutMs: 20 });
    expect(signal?.aborted).toBe(true);
    await pause(150);
    await idle();
    expect(await other.get('b')).toBeUndefined();
  });

  it('lets the loader decide: time to live, tags, nothing kept, not modified', async () => {
    await cache.getOrSet('ttl', (context) => (context.setTtl('1s'), context.setTags('own'), 1), {
      ttl: '1h',
      tags: ['of the call'],
      jitter: 0,
    });
    await idle();
    expect((await other.getEntry('ttl'))?.tags).toEqual(['own']);
    await eventually('it has ended', async () => (await other.get('ttl')) === undefined);

    expect(await cache.getOrSet('skipped', (context) => context.skip(2))).toBe(2);
    await idle();
    expect(await other.get('skipped')).toBeUndefined();

    const options = { grace: '1h' } as const;
    await cache.getOrSet('page', (context) => ((context.etag = 'v1'), 'text'), options);
    await idle();
    await cache.expire('page');
    const seen: unknown[] = [];
    const again = await other.getOrSet(
      'page',
      (context: LoaderContext<string>) => {
        seen.push(context.stale);
        return context.notModified();
      },
      options,
    );
    await eventually('it is fresh again', async () => (await cache.get('page')) === 'text');
    expect({ again, seen }).toEqual({ again: 'text', seen: [{ value: 'text', etag: 'v1' }] });
  });

  it('lets values written together end apart', async () => {
    const keys = Array.from({ length: 60 }, (_, id) => ['j', id]);
    const lifeOf = async (each: CacheService, key: (string | number)[]) =>
      (await each.getEntry(key))!.freshForMs;
    const draw = async (jitter: number) => {
      await cache.setMany(
        keys.map((key) => ({ key, value: 1 })),
        { ttl: '1000s', jitter },
      );
      return Promise.all(keys.map((key) => lifeOf(other, key)));
    };

    const drawn = await draw(0.5);
    const exact = await draw(0);

    // Of 60 draws from 500 s to 1000 s, none below 600 s or none above 900 s has a chance of one in 300,000.
    expect(Math.min(...drawn)).toBeGreaterThan(490_000);
    expect(Math.min(...drawn)).toBeLessThan(600_000);
    expect(Math.max(...drawn)).toBeGreaterThan(900_000);
    expect(Math.max(...drawn)).toBeLessThanOrEqual(1_000_000);
    expect(Math.max(...exact) - Math.min(...exact)).toBeLessThan(10_000);
  });

  it('adds once, however many try at the same time, and again when what was there is stale', async () => {
    const tries = Array.from({ length: 40 }, (_, id) =>
      (id % 2 ? cache : other).add('k', id, { ttl: '500ms', jitter: 0, grace: '1h' }),
    );

    expect((await Promise.all(tries)).filter(Boolean)).toHaveLength(1);
    await eventually('it is stale', async () => (await cache.get('k', { memory: false })) === undefined);
    expect(await other.add('k', 'again')).toBe(true);
    expect(await cache.get('k', { memory: false })).toBe('again');
  });

  it('loads under the name of cache-manager too', async () => {
    let loads = 0;
    const load = () => (loads += 1);

    expect(await cache.wrap('k', load, { tags: ['t'] })).toBe(1);
    await idle();
    expect(await other.wrap('k', load)).toBe(1);
    expect((await other.getEntry('k'))?.tags).toEqual(['t']);
  });

  it('keeps no copy where the memory is turned off, for a module or for a call', async () => {
    const bare = await open({ memory: false });
    await bare.set('k', 1);
    for (let read = 0; read < 5; read += 1) {
      expect(await bare.get('k')).toBe(1);
      expect(await cache.get('k', { memory: false })).toBe(1);
      expect(await cache.getOrSet('k', () => 2, { memory: false })).toBe(1);
      await cache.getMany(['k'], { memory: false });
    }

    expect([bare.peek('k'), cache.peek('k')]).toEqual([undefined, undefined]);
    expect(bare.stats()).toMatchObject({ memoryHits: 0, memoryEntries: 0, isCoherent: false });
    expect(cache.stats()).toMatchObject({ memoryHits: 0, memoryEntries: 0 });
  });

  it('counts every read once, as a hit or a miss', async () => {
    const bare = await open({ memory: false });
    await cache.setMany([1, 2, 3, 4].map((id) => ({ key: ['id', id], value: id })));
    const keyOf = (id: number) => ['id', id];
    const load = async (missing: number[]) => new Map(missing.map((id) => [id, id]));
    const counts = () => {
      const { hits, misses, readFailures, memoryHits } = bare.stats();
      return { hits, misses, readFailures, memoryHits };
    };

    await bare.get(['id', 1]);
    await bare.get('none');
    await bare.has(['id', 1]);
    await bare.getOrSet(['id', 2], () => 2);
    await bare.getOrSet('loaded', () => 1);
    expect(counts()).toEqual({ hits: 3, misses: 2, readFailures: 0, memoryHits: 0 });
    await bare.getMany([1, 2, 5].map(keyOf));
    expect(counts()).toEqual({ hits: 5, misses: 3, readFailures: 0, memoryHits: 0 });
    await bare.getOrSetMany([1, 2, 3, 4, 5, 6, 7], keyOf, load);
    expect(counts()).toEqual({ hits: 9, misses: 6, readFailures: 0, memoryHits: 0 });

    const { hits, misses, memoryHits } = cache.stats();
    await cache.getMany([1, 2].map(keyOf));
    await eventually('copies are in memory', () => [1, 2].every((id) => cache.peek(keyOf(id)) === id));
    await cache.getOrSetMany([1, 2, 3, 8], keyOf, load);
    expect(cache.stats()).toMatchObject({ hits: hits + 5, misses: misses + 1, memoryHits: memoryHits + 2 });
  });

  it.each([0, -1, 1.5, Infinity, '8'])('refuses to warm up %p at a time', async (concurrency) => {
    const warming = cache.warmup([{ key: 'w', loader: () => 1 }], { concurrency: concurrency as number });

    await expect(warming).rejects.toThrow(/^Option "concurrency" is not usable .* from 1 to 1000$/);
  });

  it('keeps null for a time of its own', async () => {
    const options = { ttl: '1h', notFoundTtl: '1s', jitter: 0 } as const;
    expect(await cache.getOrSet('none', () => null, options)).toBeNull();
    await idle();
    expect(await other.get('none')).toBeNull();
    await eventually('it has ended', async () => (await other.get('none')) === undefined);
  });

  it('loads anew when told to, and warms up', async () => {
    await cache.set('k', 'old');
    expect(await cache.getOrSet('k', () => 'forced', { forceRefresh: true })).toBe('forced');
    await idle();
    expect(await other.get('k')).toBe('forced');

    const entries = Array.from({ length: 20 }, (_, id) => ({ key: ['w', id], loader: () => id }));
    expect(
      await cache.warmup([...entries, { key: 'x', loader: () => Promise.reject(new Error('no')) }]),
    ).toBe(20);
    await idle();
    expect(await other.get(['w', 7])).toBe(7);
  });

  it('writes through: the store first, the entry removed when it fails or writes cross', async () => {
    const stored: string[] = [];
    const store = (ms: number) => async (value: string) => {
      await pause(ms);
      stored.push(value);
      return undefined;
    };
    await cache.set('k', 'before');

    await expect(cache.writeThrough('k', 'x', () => Promise.reject(new Error('down')))).rejects.toThrow(
      'down',
    );
    expect(await other.get('k', { memory: false })).toBeUndefined();
    expect(await cache.writeThrough('k', 'one', store(0))).toBe('one');
    expect(await other.get('k')).toBe('one');
    expect(await cache.writeThrough('k', 'in', () => 'as stored')).toBe('as stored');
    expect(await other.get('k', { memory: false })).toBe('as stored');

    await Promise.all([
      cache.writeThrough('k', 'slow', store(60)),
      other.writeThrough('k', 'fast', store(5)),
    ]);
    expect(stored.at(-1)).toBe('slow');
    expect([undefined, 'slow']).toContain(await cache.get('k', { memory: false }));
  });

  it('writes behind: one value per key, together, again when the store fails, and at shutdown', async () => {
    const written: [string, number][] = [];
    let failures = 2;
    const losses: unknown[] = [];
    const views = cache.writeBehind<number>({
      name: 'views',
      merge: (earlier, later) => earlier + later,
      flush: (items) => {
        if ((failures -= 1) >= 0) throw new Error('down');
        written.push(...items.map(({ key, value }): [string, number] => [String(key), value]));
      },
      interval: '20ms',
      capacity: 3,
      onLoss: (loss) => losses.push(loss),
    });

    for (let count = 0; count < 10; count += 1) expect(views.put(count % 2 ? 'a' : 'b', 1)).toBe(true);
    expect(views.put('c', 1)).toBe(true);
    expect(views.put('d', 1)).toBe(false);
    await eventually('they are written', () => written.length === 3);

    expect(Object.fromEntries(written)).toEqual({ a: 5, b: 5, c: 1 });
    expect(views.stats()).toEqual({ pending: 0, written: 3, coalesced: 8, retries: 2, lost: 1 });
    expect(losses).toEqual([{ count: 1, reason: 'full' }]);
    views.put('last', 7);
    await modules[0]!.close();
    expect(written.at(-1)).toEqual(['last', 7]);
  });

  it('reports what the store never took', async () => {
    const losses: unknown[] = [];
    const buffer = cache.writeBehind<string>({
      name: 'broken',
      flush: () => Promise.reject(new Error('down')),
      cached: true,
      attempts: 1,
      onLoss: (loss) => losses.push(loss),
    });
    buffer.put('k', 'v');
    await eventually('it is cached', async () => (await other.get('k')) === 'v');

    await buffer.flush();

    expect(losses).toEqual([{ count: 1, reason: 'failed' }]);
    await eventually('the cache has forgotten it', async () => (await other.get('k')) === undefined);
  });

  it('serves named caches with defaults of their own', async () => {
    const named = modules[0]!.get<CacheService>(getCacheToken('named'), { strict: false });
    await named.set('k', 1);

    const entry = await named.getEntry('k');

    expect(named.name).toBe('named');
    expect(entry!.expiresAt.getTime() - entry!.createdAt.getTime()).toBeLessThanOrEqual(1_000);
    expect(await cache.get('k')).toBeUndefined();
  });

  it('does not read values of another version or codec', async () => {
    await cache.set('k', { name: 'old shape' });
    const next = await open({ version: 2 });
    const packed = await open({ codec: new Packr({ structuredClone: true }) });

    expect(await next.get('k')).toBeUndefined();
    expect(await packed.get('k')).toBeUndefined();
    expect(await next.getOrSet('k', () => 'new shape')).toBe('new shape');
    await packed.set('p', { at: new Date(5), set: new Set([1]) });
    expect(await packed.get('p')).toEqual({ at: new Date(5), set: new Set([1]) });
    expect(await cache.get('p')).toBeUndefined();
    expect(next.stats().corrupt).toBe(0);
  });

  it('loads for each version of a value, also at the same time', async () => {
    const next = cache.namespace(cache.name, { version: 2 });

    const loaded = await Promise.all([
      cache.getOrSet('versioned', () => 'old shape'),
      next.getOrSet('versioned', () => 'new shape'),
    ]);

    expect(loaded).toEqual(['old shape', 'new shape']);
    expect(cache.stats()).toMatchObject({ joined: 0, loads: 2 });
  });

  it.each(['gzip', 'brotli'] as const)('compresses large values with %s', async (algorithm) => {
    const packed = await open({ compression: { algorithm, threshold: 1000 } });
    const value = { text: 'all work and no play '.repeat(500) };
    await packed.set('large', value);
    await packed.set('small', 'x');

    const redis = modules[0]!.get<RedisClient>(REDIS, { strict: false });
    const sizeOf = async (bucketless: string) => {
      const names = place().url ? [''] : Array.from({ length: 16 }, (_, bucket) => `/${bucket}`);
      const sizes = await Promise.all(
        names.map((bucket) => redis.strlen(`${keyPrefix}:cache:{default${bucket}}:entry:${bucketless}`)),
      );
      return Math.max(...sizes);
    };
    expect(await packed.get('large', { memory: false })).toEqual(value);
    expect(await cache.get('large')).toEqual(value);
    expect(await sizeOf('large')).toBeLessThan(1000);
    expect(await sizeOf('large')).toBeGreaterThan(40);
  });
}
