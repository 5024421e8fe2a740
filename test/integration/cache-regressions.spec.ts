import { inspect } from 'node:util';
import { Injectable } from '@nestjs/common';
import type { TestingModule } from '@nestjs/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { REDIS, type RedisClient } from 'rednest';
import {
  Cacheable,
  CacheMethodsModule,
  CacheModule,
  CacheService,
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
      expect(reply).toBe(later);
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

  describe('tags that are compared by the process', () => {
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
