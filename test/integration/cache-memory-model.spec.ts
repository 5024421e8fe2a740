import type { TestingModule } from '@nestjs/testing';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { CacheModule, CacheService, type CacheOptions } from 'rednest/cache';
import { CacheSpace, entryId } from '../../src/cache/cache-key.js';
import { createModule, inject } from '../support/app.js';
import { startClusterPlace, startServerPlace, type CachePlace } from '../support/cache-places.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';

const KEYS = 3;
/** What another process does. */
const BY_CACHE = ['set', 'setMany', 'delete', 'expire', 'tag', 'clear', 'through', 'read', 'load'] as const;
/** What a server tells of, and other processes cannot. */
const BY_HAND = ['DEL', 'FLUSHALL', 'lost state'] as const;

type What = (typeof BY_CACHE)[number] | (typeof BY_HAND)[number] | 'killed listeners';

interface Step {
  readonly what: What;
  readonly key: number;
}

/** After the others what was there before is still right. */
const CHANGES = new Set<What>([...BY_CACHE, ...BY_HAND]);
for (const what of ['read', 'lost state'] as const) CHANGES.delete(what);

/**
 * One process keeps copies, another one and somebody with a prompt change things. A copy is late by the way of
 * one message: once the process has heard what was changed last, it must not answer anything older.
 */
for (const [what, startPlace] of [
  ['one server', startServerPlace],
  ['a Cluster of 3 masters', startClusterPlace],
] as const) {
  for (const means of ['tracking', 'pubsub'] as const) {
    describeNative(`memory against a model, kept right by ${means} on ${what}`, () =>
      behaviour(startPlace, means),
    );
  }
}

function behaviour(
  startPlace: () => Promise<CachePlace>,
  means: NonNullable<CacheOptions['coherence']>,
): void {
  let place: CachePlace;
  let keyPrefix: string;
  let modules: TestingModule[];
  let here: CacheService;
  let there: CacheService;
  let heard = 0;

  beforeAll(async () => {
    place = await startPlace();
  }, 60_000);
  afterAll(() => place?.stop());
  beforeEach(async () => {
    modules = [];
    keyPrefix = uniquePrefix();
    here = await open();
    there = await open({ memory: false });
  });
  afterEach(async () => {
    for (const module of modules) await module.close();
  });

  async function open(options: CacheOptions = {}): Promise<CacheService> {
    // One part, so that what is heard of one key is heard after what came before of another.
    const imports = [
      CacheModule.forRoot({
        coherence: means,
        buckets: 1,
        ttl: '1h',
        tags: ['all'],
        timeout: '20s',
        ...options,
      }),
    ];
    const module = await createModule({ redis: { ...place.redis, keyPrefix }, imports });
    modules.push(module);
    return inject(module, CacheService);
  }

  const keyOf = (key: number) => ['k', key];
  const bucket = () => new CacheSpace(keyPrefix, 'default', 1).buckets[0];

  async function copied(key: ReturnType<typeof keyOf> | string, value: unknown): Promise<void> {
    await eventually('a copy is in memory', async () => {
      expect(await here.get(key)).toBe(value);
      return here.peek(key) === value;
    });
  }

  /** Waits until the process has heard of everything up to now, or knows that it does not hear. */
  async function hear(): Promise<void> {
    heard += 1;
    await there.set('bell', heard);
    await eventually('it has heard the bell', () => here.peek('bell') !== heard - 1);
    await copied('bell', heard);
  }

  async function perform({ what, key }: Step, version: number): Promise<void> {
    const load = () => version;
    switch (what) {
      case 'set':
        return void (await there.set(keyOf(key), version));
      case 'setMany':
        return void (await there.setMany([{ key: keyOf(key), value: version }]));
      case 'through':
        return void (await there.writeThrough(keyOf(key), version, () => undefined));
      case 'load':
        await there.getOrSet(keyOf(key), load, { forceRefresh: true });
        return void (await eventually('it is written', () => there.stats().pendingWrites === 0));
      case 'delete':
        return void (await there.delete(keyOf(key)));
      case 'expire':
        return void (await there.expire(keyOf(key)));
      case 'tag':
        return void (await there.deleteByTag('all'));
      case 'clear':
        return void (await there.clear());
      case 'DEL':
        return void (await place.client.del(bucket().entry(entryId(keyOf(key)))));
      case 'FLUSHALL':
        return place.flush();
      case 'lost state':
        return void (await place.client.del(bucket().state));
      case 'killed listeners':
        return place.killListeners();
      case 'read':
        return;
    }
  }

  it('never answers what it was told is old', async () => {
    const seed = Number(process.env['REDNEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
    process.stderr.write(`cache memory model seed: ${seed}\n`);
    const kinds = [...BY_CACHE, ...(means === 'tracking' ? BY_HAND : []), 'killed listeners' as const];
    const step = fc.record({ what: fc.constantFrom(...kinds), key: fc.nat(KEYS - 1) });
    await there.set('bell', heard);
    await copied('bell', heard);
    let version = 0;

    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 12 }), async (steps) => {
        await there.clear();
        for (const each of steps) {
          // Half of what is changed has a copy.
          if (version % 2 === 0) {
            await there.set(keyOf(each.key), version);
            await hear();
            await copied(keyOf(each.key), version);
          }
          version += 1;
          await perform(each, version);
          await hear();
          if (!CHANGES.has(each.what)) continue;
          // Nothing but what was written now: what was there before is gone.
          const keys = ['tag', 'clear', 'FLUSHALL'].includes(each.what)
            ? Array.from({ length: KEYS }, (_, key) => key)
            : [each.key];
          for (const key of keys) {
            expect([undefined, version]).toContain(here.peek(keyOf(key)));
            expect([undefined, version]).toContain(await here.get(keyOf(key)));
            expect([undefined, version]).toContain((await here.getMany([keyOf(key)])).get(keyOf(key)));
          }
          expect(await here.getOrSet(keyOf(each.key), () => version)).toBe(version);
          // Somebody with a prompt does not take the lease of what is still being written.
          await eventually('it is written', () => here.stats().pendingWrites === 0);
        }
      }),
      { seed, numRuns: 15, endOnFailure: true },
    );
  }, 120_000);
}
