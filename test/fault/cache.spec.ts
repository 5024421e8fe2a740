import { ConsoleLogger, Module, type INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { RedisModule } from 'rednest';
import { CacheModule, CacheService } from 'rednest/cache';
import { startClusterPlace, startServerPlace, type CachePlace } from '../support/cache-places.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { TestLog } from '../support/test-log.js';

/** Default `timeout` of the cache, in milliseconds. */
const TIMEOUT_MS = 250;
/** What no call may exceed, however loaded the machine is. */
const BOUND_MS = 2_000;

class CollectingLogger extends ConsoleLogger {
  readonly lines: string[] = [];
  override log(message: unknown): void {
    this.lines.push(String(message));
  }
  override warn(message: unknown): void {
    this.lines.push(String(message));
  }
}

async function timed<T>(label: string, work: () => Promise<T>): Promise<{ value: T; tookMs: number }> {
  const startedMs = performance.now();
  const value = await work();
  const tookMs = Math.round(performance.now() - startedMs);
  process.stderr.write(`${label}: ${tookMs} ms\n`);
  return { value, tookMs };
}

describeNative('CacheService without its server', () => behaviour(startServerPlace));
describeNative('CacheService without its Cluster of 3 masters', () => behaviour(startClusterPlace));

function behaviour(startPlace: () => Promise<CachePlace>): void {
  let server: CachePlace;
  let app: INestApplicationContext;
  let cache: CacheService;
  let logger: CollectingLogger;
  let isWhole = true;

  /** What is killed is brought back for the next test: a Cluster takes seconds to form. */
  async function kill(): Promise<void> {
    isWhole = false;
    await server.kill();
  }

  async function restart(): Promise<void> {
    await server.restart();
    isWhole = true;
  }

  beforeAll(async () => {
    server = await startPlace();
  }, 60_000);
  afterAll(() => server?.stop());
  beforeEach(async () => {
    if (!isWhole) await restart();

    @Module({
      imports: [
        RedisModule.forRoot({ ...server.redis, keyPrefix: uniquePrefix(), env: {}, logger: new TestLog() }),
        CacheModule.forRoot(),
      ],
    })
    class TestModule {}

    logger = new CollectingLogger();
    app = await NestFactory.createApplicationContext(TestModule, { logger });
    logger.lines.length = 0;
    cache = app.get(CacheService);
    await cache.set('k', 'cached');
    // Every bucket was compared with its server, so that no test measures that.
    await cache.getMany(Array.from({ length: 200 }, (_, id) => ['warm', id]));
    await eventually('nothing has failed', () => cache.stats().readFailures === 0);
  }, 30_000);
  afterEach(async () => {
    server.resume();
    await app.close();
  });

  it('computes while the server is frozen, after one timeout, and does not wait for the write', async () => {
    server.freeze();

    const { value, tookMs } = await timed('getOrSet, server frozen', () =>
      cache.getOrSet('k', () => 'computed'),
    );

    expect(value).toBe('computed');
    expect(tookMs).toBeGreaterThanOrEqual(TIMEOUT_MS - 5);
    expect(tookMs).toBeLessThan(BOUND_MS);
    // Nobody gave it the right to load, so there is nothing to write either.
    expect(cache.stats()).toMatchObject({ readFailures: 1, loads: 1, pendingWrites: 0 });
    server.resume();
  });

  it('answers a stale copy within 50 ms while the server is frozen', async () => {
    const options = { ttl: '200ms', grace: '1h', jitter: 0 } as const;
    await cache.getOrSet('stale', () => 'old', options);
    await eventually('a copy is in memory', async () => {
      await cache.get('stale');
      return cache.peek('stale') === 'old';
    });
    await eventually('it is stale', () => cache.peek('stale') === undefined);
    const reads = () => {
      const { hits, misses, readFailures } = cache.stats();
      return hits + misses + readFailures;
    };
    const before = reads();
    server.freeze();

    const { value, tookMs } = await timed('getOrSet with a stale copy, server frozen', () =>
      cache.getOrSet('stale', () => 'new', options),
    );

    expect(value).toBe('old');
    expect(tookMs).toBeGreaterThanOrEqual(45);
    expect(tookMs).toBeLessThan(TIMEOUT_MS);
    expect(cache.stats()).toMatchObject({ staleHits: 1 });
    server.resume();
    await eventually('the read is counted', () => reads() > before);
    await eventually('what it began has ended', () => cache.stats().pendingWrites === 0);
    expect(reads()).toBe(before + 1);
  });

  it.each<[string, number, object]>([
    ['a stale copy', 50, { ttl: '200ms', grace: '1h', jitter: 0 }],
    ['the loader', TIMEOUT_MS, {}],
  ])(
    'waits for a frozen server no longer than it says before it turns to %s',
    async (what, limitMs, options) => {
      await cache.getOrSet('waits', () => 'old', options);
      await eventually('a copy is in memory', async () => (await cache.get('waits')) && cache.peek('waits'));
      if (limitMs === 50) await eventually('it is stale', () => cache.peek('waits') === undefined);
      else await cache.delete('waits');
      server.freeze();

      // On a machine that is busy both are late; this tells what the cache adds to its time.
      const reference = new Promise<number>((resolve) => {
        setTimeout(() => resolve(performance.now()), limitMs);
      });
      let turnedMs = Infinity;
      const value = await cache.getOrSet('waits', () => ((turnedMs = performance.now()), 'new'), options);
      const answeredMs = performance.now();
      const overMs = Math.min(turnedMs, answeredMs) - (await reference);
      process.stderr.write(`${what}: ${overMs.toFixed(1)} ms after the limit of ${limitMs} ms\n`);

      expect(value).toBe(limitMs === 50 ? 'old' : 'new');
      expect(overMs).toBeLessThan(30);
      server.resume();
    },
  );

  it('writes to the store although the cache is frozen', async () => {
    server.freeze();

    const value = await cache.writeThrough('k', 'written', () => 'stored');

    expect(value).toBe('stored');
    expect(cache.stats()).toMatchObject({ deleteFailures: 1 });
    expect(cache.stats().writeFailures).toBeGreaterThanOrEqual(1);
    server.resume();
  });

  it('loads once per process while the server is gone, in less than a millisecond each', async () => {
    await kill();
    await eventually('calls fail at once', async () => {
      const startedMs = performance.now();
      await cache.get('k');
      return performance.now() - startedMs < 50;
    });
    let loads = 0;
    const load = async () => {
      loads += 1;
      await new Promise((resolve) => setTimeout(resolve, 20));
      return 'computed';
    };

    const values = await Promise.all(Array.from({ length: 200 }, () => cache.getOrSet('one', load)));

    expect(new Set(values)).toEqual(new Set(['computed']));
    expect(loads).toBe(1);
    const cpu = process.cpuUsage();
    for (let index = 0; index < 1000; index += 1) await cache.getOrSet(['k', index], () => index);
    const { user, system } = process.cpuUsage(cpu);
    process.stderr.write(`getOrSet without a server: ${((user + system) / 1000).toFixed(0)} us of CPU\n`);
    expect((user + system) / 1000).toBeLessThan(1000);
  });

  it('answers every call while the server is frozen', async () => {
    server.freeze();

    const { value, tookMs } = await timed('get, set, delete, getOrSet together, server frozen', () =>
      Promise.all([
        cache.get('k'),
        cache.set('l', 1),
        cache.delete('k'),
        cache.getOrSet('m', () => 2, { timeout: 50 }),
      ]),
    );

    expect(value).toEqual([undefined, false, { removed: 0, confirmed: false }, 2]);
    const { readFailures } = cache.stats();
    expect(await cache.getMany(['k', 'l', 'm'], { timeout: 50 })).toEqual(new Map());
    expect(
      await cache.setMany(
        ['k', 'l', 'm'].map((key) => ({ key, value: 1 })),
        { timeout: 50 },
      ),
    ).toBe(false);
    expect(cache.stats()).toMatchObject({ readFailures: readFailures + 3, writeFailures: 4 });
    const { misses } = cache.stats();
    const load = async (missing: string[]) => new Map(missing.map((id) => [id, id]));
    const loaded = await cache.getOrSetMany(['k', 'l', 'm'], (id) => id, load, { timeout: 50 });
    expect(loaded.size).toBe(3);
    expect(cache.stats()).toMatchObject({ readFailures: readFailures + 6, misses });
    expect(tookMs).toBeLessThan(BOUND_MS);
    expect(cache.stats()).toMatchObject({ deleteFailures: 1 });
    expect(logger.lines).toEqual(
      expect.arrayContaining([
        'Cache delete fails (ERR_REDIS_TIMEOUT): old values may be served until their time to live ends',
      ]),
    );
    server.resume();
  });

  it('computes while the server is gone, and uses it again when it is back', async () => {
    await kill();

    const first = await timed('getOrSet, server just gone', () => cache.getOrSet('k', () => 'computed'));
    await eventually('calls fail at once', async () => {
      const startedMs = performance.now();
      await cache.get('k');
      return performance.now() - startedMs < 50;
    });
    const later = await timed('100 x getOrSet, server gone for longer', async () => {
      for (let i = 0; i < 100; i += 1) await cache.getOrSet(['k', i], () => i);
    });

    expect(first.value).toBe('computed');
    expect(first.tookMs).toBeLessThan(BOUND_MS);
    expect(later.tookMs).toBeLessThan(BOUND_MS);
    expect(await cache.delete('k')).toEqual({ removed: 0, confirmed: false });

    await restart();
    await eventually('the cache keeps values again', () => cache.set('k', 'again'));
    expect(await cache.get('k')).toBe('again');
  });

  it('writes a line per change of state, not per call', async () => {
    await kill();
    await Promise.all(Array.from({ length: 50 }, (_, i) => cache.get(['k', i])));

    expect(logger.lines.filter((line) => line.startsWith('Cache read'))).toHaveLength(1);
  });

  it('closes in time while the server is frozen and a write is pending', async () => {
    server.freeze();
    await cache.getOrSet('k', () => 'computed', { timeout: 50 });

    const { tookMs } = await timed('close, server frozen', () => app.close());

    expect(tookMs).toBeLessThan(5_000);
    server.resume();
  });
}
