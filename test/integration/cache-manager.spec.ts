import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Controller, Get, UseInterceptors, type INestApplication } from '@nestjs/common';
import {
  CACHE_MANAGER as THEIR_TOKEN,
  CacheInterceptor,
  CacheKey,
  CacheModule as TheirCacheModule,
  CacheTTL,
  type Cache,
} from '@nestjs/cache-manager';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test, type TestingModule } from '@nestjs/testing';
import { RedisModule } from 'rednest';
import { CACHE_MANAGER, CacheManagerModule, CacheModule, CacheService } from 'rednest/cache';
import { createModule } from '../support/app.js';
import { sharedPlace, startClusterPlace, startEmbeddedPlace, type Place } from '../support/cache-places.js';
import { eventually } from '../support/eventually.js';
import { failure } from '../support/failure.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { TestLog } from '../support/test-log.js';

/** What users of cache-manager 7 rely on; run against theirs and ours. */
function contract(open: () => Promise<{ cache: Cache; close(): Promise<void> }>): void {
  let opened: Awaited<ReturnType<typeof open>>;
  let cache: Cache;

  beforeEach(async () => {
    opened = await open();
    cache = opened.cache;
  });
  afterEach(() => opened.close());

  it.each([['text'], [0], [''], [false], [[1, { a: 2 }]]])('gives back %j', async (value) => {
    expect(await cache.set('k', value)).toEqual(value);

    expect(await cache.get('k')).toEqual(value);
  });

  it('answers undefined for what is not there, was deleted, cleared, or set to undefined', async () => {
    for (const key of ['deleted', 'many', 'undefined', 'cleared']) await cache.set(key, 1);

    expect(await cache.del('deleted')).toBe(true);
    expect(await cache.mdel(['many', 'never'])).toBe(true);
    await cache.set('undefined', undefined);
    expect(await cache.get('cleared')).toBe(1);
    expect(await cache.clear()).toBe(true);

    const all = await cache.mget(['never', 'deleted', 'many', 'undefined', 'cleared']);
    expect(all).toEqual([undefined, undefined, undefined, undefined, undefined]);
  });

  it('reads and writes many, in order', async () => {
    await cache.mset([
      { key: 'a', value: 1, ttl: 60_000 },
      { key: 'b', value: 2 },
    ]);

    expect(await cache.mget(['b', 'x', 'a'])).toEqual([2, undefined, 1]);
  });

  it('counts times to live in milliseconds and says when an entry ends', async () => {
    await cache.set('short', 1, 50);
    await cache.set('long', 1, 60_000);

    const end = (await cache.ttl('long'))!;
    expect(end).toBeGreaterThan(Date.now() + 55_000);
    expect(end).toBeLessThanOrEqual(Date.now() + 60_200);
    expect(await cache.ttl('never')).toBeUndefined();
    await eventually('it has ended', async () => (await cache.get('short')) === undefined);
    expect(await cache.ttl('short')).toBeUndefined();
  });

  it('wraps: loads once for all who ask, keeps, and passes errors on', async () => {
    let loads = 0;
    const load = async (): Promise<string> => {
      loads += 1;
      await new Promise((resolve) => setTimeout(resolve, 20));
      return `v${loads}`;
    };

    const values = await Promise.all([1, 2, 3].map(() => cache.wrap('w', load, 60_000)));
    expect(values).toEqual(['v1', 'v1', 'v1']);
    await eventually('it is kept', () => cache.get('w'));
    expect(await cache.wrap('w', load, 60_000)).toBe('v1');
    expect(loads).toBe(1);

    expect(await failure(cache.wrap('e', () => Promise.reject(new Error('source'))))).toMatchObject({
      message: 'source',
    });
    expect(await cache.get('e')).toBeUndefined();
  });

  it('wraps with a time to live by value, and raw', async () => {
    const raw = await cache.wrap('w', async () => 2, { ttl: (value) => value * 30_000, raw: true });
    const again = await eventually('it is kept', async () => {
      const found = await cache.wrap('w', async () => 3, { ttl: 1000, raw: true });
      return found?.value === 2 && found;
    });

    for (const found of [raw, again]) {
      expect(found!.expires).toBeGreaterThan(Date.now() + 55_000);
      expect(found!.expires).toBeLessThanOrEqual(Date.now() + 60_200);
    }
    expect(raw!.value).toBe(2);
  });

  it('refreshes behind the caller when less than the threshold is left', async () => {
    let loads = 0;
    const load = async (): Promise<number> => (loads += 1);
    const refreshed: unknown[] = [];
    cache.on('refresh', (event) => void refreshed.push(event));
    await cache.set('w', 0, 5_000);

    expect(await cache.wrap('w', load, 60_000, 1_000)).toBe(0);
    expect(loads).toBe(0);
    expect(await cache.wrap('w', load, 60_000, 10_000)).toBe(0);

    await eventually('it is refreshed', async () => (await cache.get('w')) === 1);
    await eventually('it is told', () => refreshed.length > 0);
    expect(refreshed).toEqual([{ key: 'w', value: 1 }]);
    expect(loads).toBe(1);
  });

  it('tells listeners, until they leave', async () => {
    const events: unknown[] = [];
    const onSet = (event: object) => void events.push({ set: event });
    const onGet = (event: object) => void events.push({ get: event });
    cache.on('set', onSet);
    cache.on('get', onGet);
    cache.on('del', (event) => void events.push({ del: event }));

    await cache.set('k', 1);
    await cache.get('k');
    await cache.del('k');
    cache.off('set', onSet);
    await cache.set('k', 2);

    for (const expected of [
      { set: { key: 'k', value: 1 } },
      { get: { key: 'k', value: 1 } },
      { del: { key: 'k' } },
    ]) {
      expect(events).toContainEqual(expect.objectContaining(objectOf(expected)));
    }
    expect(events).not.toContainEqual({ set: expect.objectContaining({ value: 2 }) });
  });

  it('has a name and can be disconnected', async () => {
    expect(cache.cacheId()).toEqual(expect.any(String));
    expect(await cache.disconnect()).toBeUndefined();
  });
}

/** An event may say more than what is expected of it. */
function objectOf(event: object): object {
  return Object.fromEntries(
    Object.entries(event).map(([name, data]) => [name, expect.objectContaining(data as object)]),
  );
}

describe('CACHE_MANAGER', () => {
  it('is the token of @nestjs/cache-manager', () => {
    expect(CACHE_MANAGER).toBe(THEIR_TOKEN);
  });

  describe('of cache-manager itself', () => {
    contract(async () => {
      const module = await Test.createTestingModule({ imports: [TheirCacheModule.register()] }).compile();
      return { cache: module.get<Cache>(THEIR_TOKEN), close: () => module.close() };
    });
  });

  behaviour(startEmbeddedPlace);
});
describeNative('CACHE_MANAGER on a Cluster of 3 masters', () => {
  behaviour(startClusterPlace);
});

function behaviour(startPlace: () => Promise<Place>): void {
  const place = sharedPlace(startPlace);

  describe('of Rednest', () => {
    const open = (options = {}): Promise<TestingModule> =>
      createModule({
        redis: place.redis,
        imports: [CacheModule.forRoot({ ttl: 'long' }), CacheManagerModule.register(options)],
      });
    contract(async () => {
      const module = await open();
      return { cache: module.get<Cache>(THEIR_TOKEN, { strict: false }), close: () => module.close() };
    });

    it('keeps null and dates, which their Redis store loses', async () => {
      const module = await open();
      const cache = module.get<Cache>(CACHE_MANAGER, { strict: false });

      await cache.set('k', { none: null, at: new Date(5) });
      await cache.set('null', null);

      expect(await cache.get('k')).toEqual({ none: null, at: new Date(5) });
      expect(await cache.get('null')).toBeNull();
      await module.close();
    });

    it('writes without a time to live as the module says; 0 is the longest there is', async () => {
      const module = await open({ ttl: '10m' });
      const cache = module.get<Cache>(CACHE_MANAGER, { strict: false });

      await cache.set('default', 1);
      await cache.set('ever', 1, 0);

      expect(((await cache.ttl('default'))! - Date.now()) / 60_000).toBeCloseTo(10, 0);
      expect(((await cache.ttl('ever'))! - Date.now()) / 86_400_000).toBeCloseTo(365, 0);
      await module.close();
    });

    it('says when an entry ends by the clock of this machine, however wrong that is', async () => {
      const module = await open();
      const cache = module.get<Cache>(CACHE_MANAGER, { strict: false });
      await cache.set('k', 'v', 60_000);
      const skewed = Date.now() + 3_600_000;
      const clock = jest.spyOn(Date, 'now').mockReturnValue(skewed);
      const end = await cache.ttl('k').finally(() => clock.mockRestore());

      expect(end).toBeGreaterThan(skewed + 50_000);
      expect(end).toBeLessThanOrEqual(skewed + 60_000);
      await module.close();
    });

    it('clears its own namespace only', async () => {
      const module = await open();
      const [cache, own] = [
        module.get<Cache>(CACHE_MANAGER, { strict: false }),
        module.get(CacheService, { strict: false }),
      ];
      await own.set('k', 'mine');
      await cache.set('k', 'theirs');

      await cache.clear();

      expect([await own.get('k'), await cache.get('k')]).toEqual(['mine', undefined]);
      await module.close();
    });

    it('never rejects because Redis is gone; the events have the error', async () => {
      const lone = await startPlace();
      const module = await createModule({
        redis: lone.redis,
        imports: [CacheModule.forRoot(), CacheManagerModule.register()],
      });
      const cache = module.get<Cache>(CACHE_MANAGER, { strict: false });
      const errors: unknown[] = [];
      for (const event of ['set', 'del'] as const)
        cache.on(event, (data: { error?: unknown }) => void errors.push(data.error));
      cache.on('clear', (error) => void errors.push(error));
      await lone.stop();

      expect(await cache.get('k')).toBeUndefined();
      expect(await cache.set('k', 1)).toBe(1);
      expect(await cache.del('k')).toBe(true);
      expect(await cache.clear()).toBe(true);
      expect(await cache.wrap('k', () => 2)).toBe(2);

      expect(errors).toEqual([expect.any(Error), expect.any(Error), expect.any(Error)]);
      await module.close();
    });
  });

  describe.each([
    ['Express', () => new ExpressAdapter()],
    ['Fastify', () => new FastifyAdapter()],
  ])('under CacheInterceptor of @nestjs/cache-manager on %s', (_name, adapter) => {
    let app: INestApplication;
    let calls = 0;

    @Controller('things')
    @UseInterceptors(CacheInterceptor)
    class Things {
      @Get('plain')
      plain(): object {
        return { call: (calls += 1) };
      }

      @Get('keyed')
      @CacheKey('my-key')
      @CacheTTL(60_000)
      keyed(): object {
        return { keyed: (calls += 1) };
      }
    }

    beforeEach(async () => {
      calls = 0;
      const testing = await Test.createTestingModule({
        imports: [
          RedisModule.forRoot({ app: uniquePrefix(), env: {}, ...place.redis, logger: new TestLog() }),
          CacheModule.forRoot(),
          CacheManagerModule.register({ isGlobal: true }),
        ],
        controllers: [Things],
      }).compile();
      app = testing.createNestApplication(adapter(), { logger: false });
      await app.listen(0, '127.0.0.1');
    });
    afterEach(() => app.close());

    it('answers the second request from the cache, with key and time to live of its decorators', async () => {
      const get = async (path: string) => {
        const response = await fetch(`${await app.getUrl()}/things/${path}`);
        return { body: await response.json(), xCache: response.headers.get('x-cache') };
      };
      const cache = app.get<Cache>(CACHE_MANAGER, { strict: false });

      expect(await get('plain')).toEqual({ body: { call: 1 }, xCache: 'MISS' });
      await eventually('it is kept', () => cache.get('/things/plain'));
      expect(await get('plain')).toEqual({ body: { call: 1 }, xCache: 'HIT' });

      await get('keyed');
      expect(await eventually('it is kept', () => cache.get('my-key'))).toEqual({ keyed: 2 });
      expect((await cache.ttl('my-key'))! - Date.now()).toBeGreaterThan(50_000);
      expect(calls).toBe(2);
    });
  });
}
