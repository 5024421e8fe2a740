import { inspect } from 'node:util';
import { Injectable } from '@nestjs/common';
import type { TestingModule } from '@nestjs/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Redis } from 'ioredis';
import { REDIS, type RedisClient } from 'rednest';
import {
  Cacheable,
  CacheMethodsModule,
  CacheModule,
  CacheService,
  type CacheLoader,
  type CacheOptions,
  type LoaderContext,
} from 'rednest/cache';
import { FILL, WRITE } from '../../src/cache/cache.scripts.js';
import { createModule, inject } from '../support/app.js';
import { startClusterPlace, startServerPlace, type CachePlace } from '../support/cache-places.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';

const HOUR_US = 3_600_000_000;

@Injectable()
class Words {
  readonly asked: string[] = [];

  @Cacheable()
  async byDefault(text: string): Promise<string> {
    this.asked.push(text);
    return `<${text}>`;
  }

  @Cacheable({ key: 'words:{0}' })
  async byTemplate(text: string): Promise<string> {
    this.asked.push(text);
    return `<${text}>`;
  }
}

describeNative('What the cache once got wrong', () => behaviour(startServerPlace));
describeNative('What the cache once got wrong, on a Cluster of 3 masters', () =>
  behaviour(startClusterPlace),
);

function behaviour(startPlace: () => Promise<CachePlace>): void {
  /** What cannot differ on a Cluster. */
  const itAlone = startPlace === startServerPlace ? it : undefined;
  let server: CachePlace;
  let modules: TestingModule[];
  let keyPrefix: string;
  let redis: RedisClient;

  beforeAll(async () => {
    server = await startPlace();
  }, 60_000);
  afterAll(() => server?.stop());
  beforeEach(() => {
    modules = [];
    keyPrefix = uniquePrefix();
  });
  afterEach(async () => {
    for (const module of modules) await module.close();
  });

  async function open(options: CacheOptions = {}): Promise<CacheService> {
    const module = await createModule({
      redis: { ...server.redis, keyPrefix },
      // One part on a Cluster too: where things are is known.
      imports: [CacheModule.forRoot({ jitter: 0, buckets: 1, ...options })],
    });
    modules.push(module);
    redis = inject<RedisClient>(module, REDIS);
    return inject(module, CacheService);
  }

  const entryKey = (id: string) => `${keyPrefix}:cache:{default}:entry:${id}`;
  const stateKey = () => `${keyPrefix}:cache-sync:{default}:state`;
  const leaseKey = () => `${keyPrefix}:cache-sync:{default}:lease:k`;

  const callsOf = (command: string) => server.callsOf(command);

  /** Waits until the value is served from memory. */
  const copied = (cache: CacheService, key: string) =>
    eventually('a copy is in memory', async () => {
      await cache.get(key);
      return cache.peek(key) !== undefined;
    });

  describe('copies in memory', () => {
    it('asks again when a key changes while its value is decompressed', async () => {
      const cache = await open({ compression: { algorithm: 'gzip' } });
      const writer = await open();
      // Listening, before what is to be heard of.
      await cache.set('warm', 1);
      await copied(cache, 'warm');
      const before = await server.scriptCalls();
      await cache.get('warm', { memory: false });
      expect(await server.scriptCalls()).toBe(before + 1);
      await cache.set('k', 'x'.repeat(60_000_000), { timeout: '10s' });
      await writer.set('warm', 2);

      const seen = await server.scriptCalls();
      const reading = cache.get<string>('k', { timeout: '10s' });
      // The answer is on its way, and takes longer to decompress than the word of a write.
      await eventually('the server has answered', async () => (await server.scriptCalls()) > seen);
      expect(await writer.set('k', 'new')).toBe(true);
      await reading;

      expect(await cache.get('k')).toBe('new');
    });

    it('does not fall back on a copy it knows to be old', async () => {
      const cache = await open({ grace: '1h' });
      await cache.set('k', 'old');
      await copied(cache, 'k');
      expect(await cache.set('k', 'new')).toBe(true);
      server.freeze();
      try {
        expect(await cache.getOrSet('k', () => 'loaded')).toBe('loaded');
      } finally {
        server.resume();
      }
    });

    it('counts the bytes of a compressed value as they are in memory', async () => {
      const cache = await open({ compression: { algorithm: 'gzip' } });
      await cache.set('k', 'x'.repeat(1_000_000));
      await copied(cache, 'k');
      expect(cache.stats().memoryBytes).toBeGreaterThan(1_000_000);
    });

    it('hands validators of a copy to the loader', async () => {
      const cache = await open({ ttl: 300, grace: '1h' });
      const load = (context: LoaderContext<string>) => {
        context.etag = 'abc';
        context.lastModified = 5;
        return 'v';
      };
      await cache.getOrSet('k', load);
      await eventually('it is stored', () => redis.exists(entryKey('k')));
      await copied(cache, 'k');
      await eventually('it is stale', async () => (await cache.get('k')) === undefined);

      let stale: unknown;
      await cache.getOrSet('k', (context: LoaderContext<string>) => {
        ({ stale } = context);
        return 'v2';
      });
      expect(stale).toEqual({ value: 'v', etag: 'abc', lastModified: 5 });
    });

    it('are compared by their mark, not fetched again, when their key was only touched', async () => {
      const cache = await open();
      await cache.set('k', 'x'.repeat(1_000_000), { ttl: '1h' });
      await copied(cache, 'k');
      await redis.pexpire(entryKey('k'), 3_000_000);
      await eventually('it has heard of it', () => cache.peek('k') === undefined);
      const { memoryHits } = cache.stats();
      const before = await server.bytesSent();

      expect((await cache.get<string>('k'))!.length).toBe(1_000_000);

      expect((await server.bytesSent()) - before).toBeLessThan(100_000);
      expect(cache.stats().memoryHits).toBe(memoryHits);
      expect(cache.peek('k')).toHaveLength(1_000_000);
    });

    it('keeps apart what views of different versions and codecs have read', async () => {
      const root = await open();
      const first = root.namespace('n', { version: 1 });
      const second = root.namespace('n', { version: 2 });
      const codec = {
        encode: (value: unknown) => JSON.stringify(value),
        decode: (bytes: Buffer): unknown => JSON.parse(bytes.toString()),
      };
      const coded = root.namespace('n', { version: 1, codec });
      await first.set('k', 'shape of 1');
      await copied(first, 'k');

      expect(second.peek('k')).toBeUndefined();
      expect(await second.get('k')).toBeUndefined();
      expect(coded.peek('k')).toBeUndefined();
      expect(await coded.get('k')).toBeUndefined();
      // Views of the same kind share.
      await coded.set('c', 1);
      await copied(coded, 'c');
      expect(root.namespace('n', { version: 1, codec }).peek('c')).toBe(1);
    });

    it('answers a value that is too deep to be frozen', async () => {
      const deep = (): unknown => {
        let value: unknown = 'end';
        for (let level = 0; level < 100_000; level += 1) value = [value];
        return value;
      };
      const codec = { encode: () => 'deep', decode: deep };
      const cache = await open({ memory: { freeze: true }, codec });
      await cache.set('k', 1);
      expect(Array.isArray(await cache.get('k'))).toBe(true);
      expect(cache.stats().corrupt).toBe(0);
    });
  });

  describe('invalidations', () => {
    it('are remembered as long as a load that began before them may last', async () => {
      const cache = await open();
      const other = await open();
      let start!: () => void;
      let go!: () => void;
      const started = new Promise<void>((resolve) => (start = resolve));
      const gate = new Promise<void>((resolve) => (go = resolve));
      const loading = cache.getOrSet(
        'k',
        async () => {
          start();
          await gate;
          return 'old';
        },
        { tags: ['a'], ttl: '1h' },
      );
      await started;
      expect(await other.deleteByTag('a')).toBe(true);
      await eventually('its version is of the past', async () => {
        const [seconds, microseconds] = await redis.time();
        const nowUs = Number(seconds) * 1e6 + Number(microseconds);
        return nowUs > Number(await redis.hget(stateKey(), 'v'));
      });
      expect(await other.deleteByTag('b')).toBe(true);
      expect(await other.deleteByTag('c')).toBe(true);
      go();
      await loading;
      await eventually('it was refused', () => cache.stats().discardedWrites === 1);
      expect(await other.get('k')).toBeUndefined();
    });

    it('refuses what a load of more than an hour brings', async () => {
      await open().then((cache) => cache.set('warm', 1));
      const raw = await redis.getBuffer(entryKey('warm'));
      const lease = `${keyPrefix}:cache-sync:{default}:lease:k`;
      await redis.hset(stateKey(), 'e', '1');
      const fill = async (agoUs: number) => {
        const [seconds, microseconds] = await redis.time();
        const stamp = Number(seconds) * 1e6 + Number(microseconds) - agoUs;
        await redis.set(lease, 't');
        const keys = [stateKey(), entryKey('k'), lease];
        const reply = await redis.eval(FILL.lua, 3, ...keys, 't', stamp, 'w', '', 1000, 0, raw!.subarray(26));
        return (reply as number[])[0];
      };
      expect([await fill(HOUR_US - 5_000_000), await fill(HOUR_US + 1)]).toEqual([1, 0]);
    });

    it('do not add up', async () => {
      const cache = await open();
      await cache.set('k', 1, { ttl: 1 });
      const old = Object.fromEntries(Array.from({ length: 3_000 }, (_, index) => [`t:old${index}`, '1']));
      await redis.hset(stateKey(), old);
      const grown: number[] = [];
      for (let round = 0; round < 40; round += 1) {
        await cache.deleteByTag(...Array.from({ length: 32 }, (_, index) => `${round}.${index}`));
        grown.push(await redis.hlen(stateKey()));
      }
      // What is forgotten outweighs the 32 that are added.
      expect(grown.at(-1)).toBeLessThan(2_500);
    });

    it('by expiring leave no more grace than the entry had', async () => {
      const cache = await open({ memory: false });
      const options = { ttl: '1h', grace: 200, tags: ['t'], graceBackoff: 1 } as const;
      const fail = (): string => {
        throw new Error('down');
      };
      await cache.set('k', 'old', options);
      await cache.expireByTag('t');
      expect(await cache.getOrSet('k', fail, options)).toBe('old');
      await eventually('grace has ended', () =>
        cache.getOrSet('k', fail, options).then(
          () => false,
          (error: Error) => error.message === 'down',
        ),
      );
    });

    describe('that are ahead of the clock', () => {
      /** Stamps are reserved ahead, and versions go beyond: so is what follows within a tenth of a second. */
      async function voidedAhead(): Promise<CacheService> {
        const cache = await open({ memory: false });
        await cache.set('before', 1);
        await cache.deleteByTag('other');
        await cache.set('k', 'old', { tags: ['t'] });
        await cache.deleteByTag('t');
        return cache;
      }

      it.each<[string, (cache: CacheService) => Promise<unknown>]>([
        ['a write', (cache) => cache.set('after', 1)],
        ['a load', (cache) => cache.getOrSet('after', () => 1)],
        ['an invalidation', (cache) => cache.deleteByTag('another')],
      ])('are not forgotten when the state is lost, and %s makes a new one', async (_what, act) => {
        const cache = await voidedAhead();
        await redis.del(stateKey());
        await act(cache);
        expect(await cache.get('k')).toBeUndefined();
      });

      it('are not forgotten when the state is lost, and a process that starts makes a new one', async () => {
        await voidedAhead();
        const later = await open({ memory: false });
        await redis.del(stateKey());
        await later.set('after', 1);
        expect(await later.get('k')).toBeUndefined();
      });

      it.each<[string, (cache: CacheService) => Promise<unknown>]>([
        ['a write', (cache) => cache.set('k', 'v')],
        ['an invalidation', (cache) => cache.deleteByTag('t')],
      ])('void nothing of the same server, when %s has made a new state', async (_what, act) => {
        const cache = await open({ memory: false });
        await cache.set('before', 1);
        await redis.del(stateKey());
        await act(cache);
        await cache.set('k', 'v');
        const later = await open({ memory: false });
        expect(await later.get('k')).toBe('v');
      });

      it('do not put off a refresh', async () => {
        const cache = await voidedAhead();
        await cache.set('k', 'old', { ttl: '1h' });
        expect(await cache.getOrSet('k', () => 'new', { eagerRefresh: 0 })).toBe('old');
        await eventually('it is loaded anew', async () => (await cache.get('k')) === 'new');
      });

      it('do not make what is waited for look like what was there', async () => {
        const [one, other] = [await open({ memory: false }), await open({ memory: false })];
        await one.set('before', 1);
        await one.deleteByTag('other');
        await one.set('k', 'old', { ttl: 1, grace: '1h' });
        await eventually('it is stale', async () => (await one.get('k')) === undefined);
        let start!: () => void;
        let go!: () => void;
        const started = new Promise<void>((resolve) => (start = resolve));
        const gate = new Promise<void>((resolve) => (go = resolve));
        const load = async () => {
          start();
          await gate;
          return 'new';
        };
        const first = one.getOrSet('k', load);
        await started;
        const second = other.getOrSet('k', load);
        await eventually('it waits', () => other.stats().waits === 1);
        go();
        expect(await Promise.all([first, second])).toEqual(['new', 'new']);
        expect(one.stats().loads + other.stats().loads).toBe(1);
      });
    });

    it('take any number of tags', async () => {
      const cache = await open({ memory: false });
      const tags = Array.from({ length: 10_000 }, (_, index) => `tag ${index}`);
      const tagged = [0, 255, 256, 9_999];
      for (const index of tagged) await cache.set(['k', index], 'old', { tags: [tags[index]!] });
      await cache.set('kept', 'v', { tags: ['other'] });
      expect(await cache.deleteByTag(...tags)).toBe(true);
      expect(await cache.getMany(tagged.map((index) => ['k', index]))).toEqual(new Map());
      expect(await cache.get('kept')).toBe('v');
      await expect(cache.deleteByTag('fine', '')).rejects.toThrow('tag');
    });

    it('count for a value that the source says is unmodified', async () => {
      const cache = await open({ memory: false, ttl: 1, grace: '1h' });
      const first = (context: LoaderContext<string>) => {
        context.setTags('of the value');
        return 'v';
      };
      const again = (context: LoaderContext<string>) => context.notModified();
      for (const tag of ['of the value', 'of the call']) {
        await cache.getOrSet('k', first);
        await eventually('it is stored', () => redis.exists(entryKey('k')));
        await eventually('it is stale', async () => (await cache.get('k')) === undefined);
        await cache.getOrSet('k', again, { ttl: '1h', tags: ['of the call'] });
        await eventually('it is fresh again', async () => (await cache.get('k')) === 'v');
        expect((await cache.getEntry('k'))?.tags).toEqual(['of the value', 'of the call']);
        await cache.deleteByTag(tag);
        expect(await cache.get('k')).toBeUndefined();
      }
    });

    it('holds stamps above the birth of the state when the clock has gone back', async () => {
      const cache = await open({ memory: false });
      await cache.set('k', 'v');
      const [seconds] = await redis.time();
      const later = (Number(seconds) + 60) * 1e6;
      // As if the state were born a minute ahead of the clock.
      await redis.del(stateKey());
      await redis.hset(stateKey(), 'e', String(later), 'w', String(later));
      const lease = `${keyPrefix}:cache-sync:{default}:lease:k`;
      const body = (await redis.getBuffer(entryKey('k')))!.subarray(26);
      const keys = [stateKey(), entryKey('k'), lease];
      const reply = await redis.eval(WRITE.lua, 3, ...keys, 10_000, 0, body, 'w', '');
      expect(reply).toBe(later + 1);
    });
  });

  describe('entries that are damaged', () => {
    it('with tags that run past the end are misses, alone and among others', async () => {
      const cache = await open({ memory: false });
      await cache.set('k', 1, { tags: ['a'] });
      await cache.set('k2', 2);
      const raw = (await redis.getBuffer(entryKey('k')))!;
      raw[44] = 0x7f;
      await redis.set(entryKey('k'), raw);

      expect(await cache.getMany(['k', 'k2'])).toEqual(new Map([['k2', 2]]));
      expect(await cache.get('k')).toBeUndefined();
      expect(cache.stats()).toMatchObject({ readFailures: 0, corrupt: 2 });
      expect(await cache.getOrSet('k', () => 'loaded')).toBe('loaded');
      await eventually('it is replaced', async () => (await cache.get('k')) === 'loaded');
    });

    it('in their validators are misses, and leave no lease behind', async () => {
      const cache = await open({ memory: false, ttl: 1, grace: '1h' });
      const load = (context: LoaderContext<string>) => {
        context.etag = 'abc';
        return 'v';
      };
      await cache.getOrSet('k', load);
      await eventually('it is stored', () => redis.exists(entryKey('k')));
      const raw = (await redis.getBuffer(entryKey('k')))!;
      raw[raw.indexOf('{"etag')] = 0x21;
      await redis.set(entryKey('k'), raw);

      expect(await cache.getOrSet('k', () => 'v2', { ttl: '1h' })).toBe('v2');
      await eventually('it is replaced', async () => (await cache.get('k')) === 'v2');
      expect(await redis.exists(`${keyPrefix}:cache-sync:{default}:lease:k`)).toBe(0);
    });

    it.each<[string, (raw: Buffer) => void]>([
      ['bytes', (raw) => void raw.fill(0x55, 50)],
      ['tags', (raw) => void (raw[44] = 0)],
    ])('in their %s are misses when they are compressed', async (_what, damage) => {
      const cache = await open({ compression: { algorithm: 'gzip' } });
      await cache.set('k', 'x'.repeat(100_000), { tags: ['tag'] });
      const raw = (await redis.getBuffer(entryKey('k')))!;
      damage(raw);
      await redis.set(entryKey('k'), raw);

      expect(await cache.getOrSet('k', () => 'loaded')).toBe('loaded');
      expect(cache.stats().corrupt).toBeGreaterThan(0);
    });
  });

  it('does not decompress more than it may, nor compress what it could not read', async () => {
    const compression = { algorithm: 'gzip' } as const;
    const wide = await open({ memory: false, compression });
    const narrow = await open({ memory: false, compression, maxDecompressedBytes: 100_000 });
    await wide.set('k', 'x'.repeat(200_000));
    expect(await narrow.get('k')).toBeUndefined();
    expect(narrow.stats().corrupt).toBe(1);
    await narrow.set('k', 'y'.repeat(200_000));
    expect(await narrow.get('k')).toBe('y'.repeat(200_000));
  });

  it('tells of a value that cannot be encoded where, and nothing of what it is', async () => {
    const cache = await open();
    const value = { outer: { secret: 'hunter2', call: () => 1 } };
    const error: unknown = await cache.set('k', value).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: 'ERR_CACHE_ENCODE',
      cause: { message: 'DevalueError at .outer.call' },
    });
    expect(inspect(error, { depth: 8, showHidden: true })).not.toContain('hunter2');
  });

  it('keeps null for as long as its own write says', async () => {
    const cache = await open({ notFoundTtl: '5s' });
    await cache.set('own', null, { ttl: '1h' });
    await cache.set('both', null, { ttl: '1h', notFoundTtl: '2s' });
    await cache.set('default', null);
    expect(await redis.pttl(entryKey('own'))).toBeGreaterThan(3_000_000);
    expect(await redis.pttl(entryKey('both'))).toBeLessThanOrEqual(2_000);
    expect(await redis.pttl(entryKey('default'))).toBeLessThanOrEqual(5_000);
  });

  it('keeps what a method answers to empty text', async () => {
    const module = await createModule({
      redis: { ...server.redis, keyPrefix },
      imports: [CacheModule.forRoot(), CacheMethodsModule],
      providers: [Words],
    });
    modules.push(module);
    const words = inject(module, Words);
    const cache = inject(module, CacheService);
    const idle = () => eventually('it is stored', () => cache.stats().pendingWrites === 0);
    for (const text of ['', '', '~e', '']) {
      expect([await words.byDefault(text), await words.byTemplate(text)]).toEqual([`<${text}>`, `<${text}>`]);
      await idle();
    }
    expect(words.asked).toEqual(['', '', '~e', '~e']);
  });

  it('shares what is known of a namespace between views, however many there are', async () => {
    const cache = await open();
    const view = cache.namespace('tenant');
    await view.set('k', 'old', { tags: ['t'] });
    await copied(view, 'k');
    for (let tenant = 0; tenant < 1_500; tenant += 1) cache.namespace(`tenant ${tenant}`);

    const later = cache.namespace('tenant');
    expect(later.peek('k')).toBe('old');
    expect(await later.deleteByTag('t')).toBe(true);
    expect(view.peek('k')).toBeUndefined();
    expect(await view.get('k')).toBeUndefined();
  });

  describe('on a server that is full', () => {
    afterEach(() => server.configure('maxmemory', '0'));

    it('voids and removes, and leaves no value before one that found no room', async () => {
      const cache = await open({ memory: false });
      const options = { ttl: '1h', grace: '1h', tags: ['all'] } as const;
      for (const key of ['tagged', 'set', 'expired', 'deleted', 'cleared', 'many', 'added'])
        await cache.set(key, 'old', { ...options, tags: [key] });
      await server.configure('maxmemory', '1');

      expect(await cache.get('tagged')).toBe('old');
      expect(await cache.deleteByTag('tagged')).toBe(true);
      expect(await cache.get('tagged')).toBeUndefined();

      expect(await cache.set('set', 'new')).toBe(false);
      expect(await cache.get('set')).toBeUndefined();
      expect(await cache.setMany(['many', 'added'].map((key) => ({ key, value: 'new' })))).toBe(false);
      expect(await cache.getMany(['many', 'added'])).toEqual(new Map());

      expect(await cache.expire('expired')).toEqual({ removed: 1, confirmed: true });
      expect(await cache.get('expired')).toBeUndefined();
      expect(await cache.delete('deleted')).toEqual({ removed: 1, confirmed: true });

      expect(await cache.clear()).toBe(true);
      expect(await cache.get('cleared')).toBeUndefined();
      expect(cache.stats()).toMatchObject({ readFailures: 0, writeFailures: 3, invalidationFailures: 0 });
    });

    it.each<[string, CacheLoader<string>]>([
      ['skips its value', (context) => context.skip('first')],
      ['fails', () => Promise.reject(new Error('down'))],
    ])('tells those who wait for a load that it %s', async (_how, end) => {
      const [loader, waiter] = [await open({ memory: false }), await open({ memory: false })];
      const options = { lease: '60s' } as const;
      await Promise.all([loader.get('warm'), waiter.get('warm')]);
      let finish!: () => void;
      const finished = new Promise<void>((resolve) => (finish = resolve));
      const loading = loader
        .getOrSet<string>('k', async (context) => (await finished, end(context)), options)
        .catch(() => 'failed');
      await eventually('it loads', () => loader.stats().loads === 1);
      const waiting = waiter.getOrSet('k', () => 'second', options);
      await eventually('the other waits', () => waiter.stats().waits === 1);
      await eventually('which is known', async () => (await redis.get(leaseKey()))?.endsWith('+'));
      await server.configure('maxmemory', '1');

      finish();

      // Its lease, which nobody could take, would last for a minute.
      expect(await waiting).toBe('second');
      await loading;
    });

    it('believes nothing of another server, and goes on reading', async () => {
      await open({ memory: false }).then((cache) => cache.set('k', 'old', { ttl: '1h' }));
      const later = await open({ memory: false });
      // As after a failover: the state is of another server.
      await redis.hset(stateKey(), 'r', 'another');
      await server.configure('maxmemory', '1');
      expect(await later.get('k')).toBeUndefined();
      expect(later.stats()).toMatchObject({ misses: 1, readFailures: 0 });
    });
  });

  describe('many at once', () => {
    it('are written, read, loaded and deleted, however many', async () => {
      const cache = await open({ memory: false, timeout: '20s' });
      const keys = Array.from({ length: 12_000 }, (_, id) => `k${id}`);
      expect(await cache.setMany(keys.map((key, value) => ({ key, value })))).toBe(true);
      expect(await cache.getMany(keys)).toEqual(new Map(keys.map((key, value) => [key, value])));
      expect(await cache.delete(...keys)).toEqual({ removed: 12_000, confirmed: true });
      const load = async (missing: string[]) => new Map(missing.map((key) => [key, key]));
      expect((await cache.getOrSetMany(keys, (key) => key, load)).size).toBe(12_000);
      await eventually('all are written', () => cache.stats().writes === 24_000);
      expect((await cache.getMany(keys)).size).toBe(12_000);
    }, 30_000);

    it('are written as each says, the last of one key counts, and loads of them are refused', async () => {
      const cache = await open({ compression: { algorithm: 'gzip', threshold: 1_024 } });
      let start!: () => void;
      let go!: () => void;
      const started = new Promise<void>((resolve) => (start = resolve));
      const gate = new Promise<void>((resolve) => (go = resolve));
      const loading = cache.getOrSet('loaded', async () => {
        start();
        await gate;
        return 'old';
      });
      await started;
      const long = 'x'.repeat(10_000);
      const entries = [
        { key: 'short', value: 1, ttl: '2s', tags: ['t'] },
        { key: 'twice', value: 'first' },
        { key: 'long', value: long, ttl: '1h', grace: '1h' },
        { key: 'loaded', value: 'new' },
        { key: 'twice', value: 'second' },
      ] as const;
      expect(await cache.setMany(entries, { ttl: '10s' })).toBe(true);
      go();
      expect(await loading).toBe('old');
      await eventually('it was refused', () => cache.stats().discardedWrites === 1);

      const keys = ['short', 'twice', 'long', 'loaded'];
      expect([...(await cache.getMany(keys)).values()]).toEqual([1, 'second', long, 'new']);
      const lifeOf = async (key: string) => Math.ceil((await redis.pttl(entryKey(key))) / 1_000);
      expect(await Promise.all(keys.map(lifeOf))).toEqual([2, 10, 7_200, 10]);
      await cache.deleteByTag('t');
      expect(await cache.get('short')).toBeUndefined();
    });

    it('are not written at all when one cannot be encoded, or its key is unusable', async () => {
      const cache = await open({ memory: false });
      const good = { key: 'good', value: 1 };
      await expect(cache.setMany([good, { key: 'k', value: () => 1 }])).rejects.toMatchObject({
        code: 'ERR_CACHE_ENCODE',
      });
      await expect(cache.setMany([good, { key: '', value: 1 }])).rejects.toThrow('key');
      expect(await cache.get('good')).toBeUndefined();
      expect(await cache.setMany([])).toBe(true);
    });
  });

  it('adds where what is there is of another version', async () => {
    const cache = await open();
    const first = cache.namespace('n', { version: 1 });
    const second = cache.namespace('n', { version: 2 });
    await first.set('k', 'shape of 1');
    expect(await first.add('k', 'again')).toBe(false);
    expect(await second.add('k', 'shape of 2')).toBe(true);
    expect(await second.add('k', 'again')).toBe(false);
    expect([await first.get('k'), await second.get('k')]).toEqual([undefined, 'shape of 2']);
  });

  it('gives a view of a view the settings of both', async () => {
    const codec = {
      encode: (value: unknown) => `coded ${JSON.stringify(value)}`,
      decode: (bytes: Buffer): unknown => JSON.parse(bytes.toString().slice(6)),
    };
    const root = await open({ memory: false });
    const view = root.namespace('a', { ttl: '1h', version: 3, codec, tags: ['t'] });
    const inner = view.namespace('b', { tags: ['u'] });
    await inner.set('k', 1);

    const key = `${keyPrefix}:cache:{b}:entry:k`;
    expect(await redis.pttl(key)).toBeGreaterThan(3_500_000);
    expect(await redis.get(key)).toMatch(/coded 1$/);
    expect((await inner.getEntry('k'))?.tags).toEqual(['u']);
    expect(await root.namespace('b', { version: 3, codec }).get('k')).toBe(1);
    expect(await root.namespace('b', { codec }).get('k')).toBeUndefined();
  });

  it('keeps what is in a box', async () => {
    const cache = await open({ memory: false });
    // oxlint-disable-next-line no-new-wrappers -- what is tested
    await cache.set('k', { at: new Date(5), box: [new Number(5), new String('text'), new Boolean(false)] });
    expect(JSON.stringify(await cache.get('k'))).toBe(
      '{"at":"1970-01-01T00:00:00.005Z","box":[5,"text",false]}',
    );
  });

  it('drops the value before one that is written behind and cannot be encoded', async () => {
    const cache = await open();
    const stored: unknown[] = [];
    const buffer = cache.writeBehind<unknown>({
      name: 'b',
      cached: true,
      flush: (items) => stored.push(...items),
    });
    await cache.set('k', 'old');
    expect(buffer.put('k', { call: () => 1 })).toBe(true);
    await buffer.flush();
    expect(stored).toHaveLength(1);
    await eventually('the old value is gone', async () => (await cache.get('k')) === undefined);
  });

  itAlone?.('hears of changes although the server was busy when it was asked how', async () => {
    const cache = await open();
    await redis.ping();
    await server.configure('lua-time-limit', '1');
    const admin = server.client as Redis;
    const [busy, killer] = [admin.duplicate(), admin.duplicate({ enableReadyCheck: false })];
    const running = busy.eval('while true do end', 0).catch(() => undefined);
    const isBusy = () => killer.ping().catch((error: Error) => error.message.startsWith('BUSY'));
    await eventually('it is busy', async () => (await isBusy()) === true);
    expect(await cache.get('k')).toBeUndefined();
    await killer.call('SCRIPT', 'KILL');
    await running;
    await server.configure('lua-time-limit', '5000');
    for (const client of [busy, killer]) client.disconnect();

    const other = await open();
    // By now it knows that it need not tell of what it writes.
    await other.get('k');
    await cache.set('k', 'old');
    await copied(cache, 'k');
    expect(await other.set('k', 'new')).toBe(true);
    await eventually('it has heard', () => cache.peek('k') === undefined, 2_000);
    expect(await cache.get('k')).toBe('new');
  });

  describe('tags that are compared by the process', () => {
    /** Waits until reads take no script. */
    const compares = (cache: CacheService, key: string) =>
      eventually('it compares', async () => {
        const before = await server.scriptCalls();
        await cache.get(key);
        return (await server.scriptCalls()) === before;
      });

    itAlone?.('are compared by the server after a connection was lost', async () => {
      const cache = await open({ tagCheck: 'local', memory: false });
      await cache.set('k', 'v', { ttl: '1h' });
      await compares(cache, 'k');
      const admin = server.client as Redis;
      const own = String(await admin.client('LIST'))
        .split('\n')
        .filter((line) => / name=\S+:command:/.test(line));
      expect(own).toHaveLength(1);
      await admin.client('KILL', 'ID', Number(/id=(\d+)/.exec(own[0]!)![1]));
      // What listens goes on listening, so nothing else says that the server may have changed.
      await eventually('it is connected again', async () => redis.ping().catch(() => false));
      expect(await cache.get('k')).toBe('v');
    });

    it('say when an entry became stale', async () => {
      const cache = await open({ tagCheck: 'local', memory: false });
      const options = { ttl: '1h', grace: '1h', jitter: 0 } as const;
      await cache.set('k', 'v', { ...options, tags: ['t'] });
      await cache.set('other', 'v', options);
      await cache.expireByTag('t');
      await compares(cache, 'other');
      const entry = await cache.getEntry('k');
      expect(entry).toMatchObject({ value: 'v', isStale: true });
      expect(entry!.freshForMs).toBeLessThanOrEqual(0);
      expect(entry!.freshForMs).toBeGreaterThan(-60_000);
      expect(entry!.expiresAt.getTime()).toBeLessThan(Date.now() + 60_000);
    });

    it('are not compared with a copy that ended during the read', async () => {
      const cache = await open({ tagCheck: 'local', memory: false });
      const other = await open();
      await cache.set('k', 'old', { tags: ['t'] });
      // So that the server knows the script when it counts.
      await cache.deleteByTag('other');
      await eventually('it compares', async () => {
        const before = await server.scriptCalls();
        await cache.get('k');
        return (await server.scriptCalls()) === before;
      });
      server.freeze();
      const reading = cache.get('k', { timeout: '10s' });
      const clearing = cache.deleteByTag('t');
      server.resume();
      expect(await reading).toBeUndefined();
      await clearing;
      expect(await other.get('k')).toBeUndefined();
    });

    it('leave a state alone that is too large to be copied', async () => {
      const cache = await open({ tagCheck: 'local', memory: false });
      await cache.set('k', 1, { ttl: '1h' });
      const fields = Array.from({ length: 6_000 }, (_, index) => [`t:${index}`, '1'] as const);
      await redis.hset(stateKey(), Object.fromEntries(fields));
      await cache.deleteByTag('other');
      await eventually('it has looked', async () => {
        await cache.get('k');
        return (await callsOf('hlen')) > 0;
      });
      const before = await callsOf('hlen');
      for (let read = 0; read < 50; read += 1) expect(await cache.get('k')).toBe(1);
      expect((await callsOf('hlen')) - before).toBeLessThanOrEqual(1);
    });
  });
}
