import type { TestingModule } from '@nestjs/testing';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { CacheModule, CacheService } from 'rednest/cache';
import { createModule, inject } from '../support/app.js';
import { startClusterPlace, startServerPlace, type CachePlace } from '../support/cache-places.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';

/** Time after which a process that waits looks by itself, in milliseconds; see CacheLoads. */
const LOOK_AGAIN_MS = 250;

const ROUNDS = 5;

/** No renewal of the lease is counted. */
const LEASE = { lease: '60s' } as const;

const neverLoaded = (): never => {
  throw new Error('two processes loaded');
};

describeNative('a process that waits for the load of another', () => behaviour(startServerPlace));
describeNative('a process that waits for the load of another on a Cluster of 3 masters', () =>
  behaviour(startClusterPlace),
);

function behaviour(startPlace: () => Promise<CachePlace>): void {
  let place: CachePlace;
  let keyPrefix: string;
  let modules: TestingModule[];
  let loader: CacheService;
  let waiter: CacheService;

  async function open(): Promise<CacheService> {
    const module = await createModule({
      redis: { ...place.redis, keyPrefix },
      imports: [CacheModule.forRoot({ namespace: 'n', timeout: '5s' })],
    });
    modules.push(module);
    return inject(module, CacheService);
  }

  beforeAll(async () => {
    place = await startPlace();
  }, 40_000);
  afterAll(() => place?.stop());
  beforeEach(async () => {
    modules = [];
    keyPrefix = uniquePrefix();
    [loader, waiter] = [await open(), await open()];
    // Every bucket was compared with its server, and changes are heard of, so that no test measures that.
    const keys = Array.from({ length: 200 }, (_, id) => ['warm', id]);
    for (const cache of [loader, waiter]) {
      await cache.getMany(keys);
      await eventually('changes are heard of', () => cache.stats().isCoherent);
    }
  });
  afterEach(async () => {
    for (const module of modules) await module.close();
  });

  /** Rounds of a load that ends when told to, with callers of another process that wait for it. */
  async function rounds(
    callers: number,
    end: (key: string, open: () => void, answered: Promise<unknown>) => Promise<number>,
  ): Promise<number[]> {
    const results: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const key = `k${round}`;
      let open!: () => void;
      const opened = new Promise<void>((resolve) => (open = resolve));
      const loading = loader.getOrSet(key, async () => (await opened, 'loaded'), LEASE);
      await eventually('one loads', () => loader.stats().loads === round + 1);
      const answered = Promise.all(
        Array.from({ length: callers }, () => waiter.getOrSet(key, neverLoaded, LEASE)),
      );
      await eventually('the other waits', () => waiter.stats().waits === round + 1);
      results.push(await end(key, open, answered));
      expect(new Set(await answered)).toEqual(new Set(['loaded']));
      open();
      await loading;
    }
    return results;
  }

  it('reads once when it is woken, for all its callers', async () => {
    const scripts = await rounds(200, async (_key, open, answered) => {
      const before = await place.scriptCalls();
      open();
      await answered;
      await eventually('it is written', () => loader.stats().pendingWrites === 0);
      return (await place.scriptCalls()) - before;
    });

    process.stderr.write(`scripts from the end of the load: ${scripts.join(' ')}\n`);
    // One writes, one reads. The read that the wait begins with, or one by itself after 250 ms, may fall into a round.
    expect(Math.min(...scripts)).toBe(2);
  });

  it('hears of the entry itself, also from a writer that wakes nobody', async () => {
    const entryOf = (id: string) => place.bucketOf(keyPrefix, 'n', id).entry(id);
    // Each of its own bucket: what is older than the state of a bucket is void there.
    const entries = new Map<string, Buffer>();
    for (let round = 0; round < ROUNDS; round += 1) {
      const key = `k${round}`;
      await loader.set(key, 'loaded');
      entries.set(key, (await place.client.getBuffer(entryOf(key)))!);
      await place.client.del(entryOf(key));
    }

    const delays = await rounds(1, async (key, _open, answered) => {
      const startedMs = performance.now();
      await place.client.set(entryOf(key), entries.get(key)!);
      await answered;
      return performance.now() - startedMs;
    });

    process.stderr.write(`heard of after ${delays.map((ms) => ms.toFixed(1)).join(' ')} ms\n`);
    expect(Math.min(...delays)).toBeLessThan(LOOK_AGAIN_MS / 2);
  });
}
