import type { TestingModule } from '@nestjs/testing';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { CacheModule, CacheService, type CacheOptions } from 'rednest/cache';
import { createModule, inject } from '../support/app.js';
import { startClusterPlace, startServerPlace, type CachePlace } from '../support/cache-places.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';

/** What a node may be told to do; `ms` is how long a load takes. */
type Step =
  | {
      op: 'read' | 'set' | 'delete' | 'tag' | 'clear' | 'through' | 'evict' | 'flush' | 'forget scripts';
      node: number;
      key: number;
    }
  | { op: 'load' | 'loadMany'; node: number; key: number; ms: number };

const KEYS = 3;
const NODES = 3;

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    op: fc.constantFrom(
      'read',
      'read',
      'read',
      'set',
      'set',
      'delete',
      'tag',
      'tag',
      'clear',
      'through',
      'evict',
      'flush',
      'forget scripts',
    ),
    node: fc.nat(NODES - 1),
    key: fc.nat(KEYS - 1),
  }),
  fc.record({
    op: fc.constantFrom('load', 'load', 'loadMany'),
    node: fc.nat(NODES - 1),
    key: fc.nat(KEYS - 1),
    ms: fc.nat(8),
  }),
);

/**
 * The store and its versions: an application changes the store and then tells the cache. What a read that
 * begins after the cache has confirmed that answers must not be older.
 */
class Model {
  private readonly versions = Array.from({ length: KEYS }, () => 0);
  private readonly confirmed = Array.from({ length: KEYS }, () => 0);
  private readonly sets = Array.from({ length: KEYS }, () => new Set<Promise<unknown>>());
  readonly faults: string[] = [];

  current(key: number): number {
    return this.versions[key]!;
  }

  change(key: number): number {
    this.versions[key]! += 1;
    return this.versions[key]!;
  }

  confirm(key: number, version: number): void {
    this.confirmed[key] = Math.max(this.confirmed[key]!, version);
  }

  /** Waits for a set, and lets others wait for it. */
  async writing(key: number, set: Promise<unknown>): Promise<void> {
    this.sets[key]!.add(set);
    await set;
    this.sets[key]!.delete(set);
  }

  /** The sets of a key that are on their way, if there are any. */
  pending(key: number): Promise<unknown> | undefined {
    return this.sets[key]!.size === 0 ? undefined : Promise.all(this.sets[key]!);
  }

  floor(key: number): number {
    return this.confirmed[key]!;
  }

  check(what: string, key: number, floor: number, value: number | undefined): void {
    if (value !== undefined && value < floor)
      this.faults.push(`${what} of ${key}: ${value}, at least ${floor}`);
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

for (const [what, options, startPlace] of [
  ['Redis alone', { memory: false }, startServerPlace],
  ['one process, both tiers', {}, startServerPlace],
  ['one process, tags checked by it', { memory: false, tagCheck: 'local' }, startServerPlace],
  ['a Cluster of 3 masters alone', { memory: false }, startClusterPlace],
  ['one process, both tiers, a Cluster of 3 masters', {}, startClusterPlace],
] as [string, CacheOptions, () => Promise<CachePlace>][]) {
  describeNative(`CacheService against a model: ${what}`, () => {
    let place: CachePlace;
    let keyPrefix: string;
    let modules: TestingModule[];
    let nodes: CacheService[];
    beforeAll(async () => {
      place = await startPlace();
    }, 40_000);
    beforeEach(async () => {
      keyPrefix = uniquePrefix();
      modules = [];
      // Copies in memory are late by the way of one message, so with them every node is the same process.
      const count = options.memory === false && options.tagCheck !== 'local' ? NODES : 1;
      for (let node = 0; node < count; node += 1) {
        const imports = [CacheModule.forRoot({ ...options, ttl: '1h', tags: ['all'], timeout: '20s' })];
        modules.push(await createModule({ redis: { ...place.redis, keyPrefix }, imports }));
      }
      nodes = modules.map((module) => inject(module, CacheService));
    });
    afterEach(async () => {
      for (const module of modules) await module.close();
    });
    afterAll(() => place?.stop());

    async function perform(model: Model, { op, node, key, ...rest }: Step): Promise<void> {
      // Of two processes that set one key at the same time either may be last: that is the application's race.
      const isSet = op === 'set' || op === 'through';
      const cache = nodes[(isSet ? key : node) % nodes.length]!;
      const floor = model.floor(key);
      switch (op) {
        // Versions of tags, births and leases are lost, by a server that is full or somebody else's hand.
        case 'evict':
          return place.loseState(keyPrefix, 'default');
        case 'flush':
          return place.flush();
        case 'forget scripts':
          return place.forgetScripts();
        case 'read':
          model.check('read', key, floor, await cache.get<number>(['k', key]));
          return;
        case 'load': {
          const ms = 'ms' in rest ? rest.ms : 0;
          const load = async () => {
            const read = model.current(key);
            await pause(ms);
            return read;
          };
          model.check('load', key, floor, await cache.getOrSet(['k', key], load));
          return;
        }
        case 'loadMany': {
          const ids = Array.from({ length: KEYS }, (_, id) => id);
          const floors = ids.map((id) => model.floor(id));
          const load = async (missing: number[]) => {
            const read = missing.map((id) => [id, model.current(id)] as const);
            await pause('ms' in rest ? rest.ms : 0);
            return new Map(read);
          };
          const values = await cache.getOrSetMany(ids, (id) => ['k', id], load);
          for (const id of ids) model.check('load of many', id, floors[id]!, values.get(id));
          return;
        }
        case 'through': {
          while (model.pending(key)) await model.pending(key);
          const written = model.change(key);
          await cache.writeThrough(['k', key], written, () => model.current(key));
          model.confirm(key, written);
          return;
        }
      }
      if (op === 'set') {
        const written = model.change(key);
        await model.writing(key, cache.set(['k', key], written));
        model.confirm(key, written);
        return;
      }
      // A set on its way from another process would bring back what was right when it was sent.
      while (model.pending(key)) await model.pending(key);
      const versions = Array.from({ length: KEYS }, (_, each) => model.current(each));
      const written = model.change(key);
      if (op === 'delete') await cache.delete(['k', key]);
      else if (op === 'tag') await cache.deleteByTag('all');
      else await cache.clear();
      model.confirm(key, written);
      if (op === 'tag' || op === 'clear')
        for (const [each, version] of versions.entries()) model.confirm(each, version);
    }

    it('never answers what is older than the last confirmed change', async () => {
      const seed = Number(process.env['REDNEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
      process.stderr.write(`cache model seed: ${seed}\n`);

      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(step, { minLength: 1, maxLength: 8 }), { minLength: 2, maxLength: 5 }),
          async (lanes) => {
            for (const cache of nodes) await cache.clear();
            const model = new Model();
            await Promise.all(
              lanes.map(async (steps) => {
                for (const each of steps) await perform(model, each);
              }),
            );
            expect(model.faults).toEqual([]);
            for (const cache of nodes) {
              const { readFailures, writeFailures, deleteFailures, invalidationFailures } = cache.stats();
              expect([readFailures, writeFailures, deleteFailures, invalidationFailures]).toEqual([
                0, 0, 0, 0,
              ]);
            }
          },
        ),
        { seed, numRuns: 60, endOnFailure: true },
      );
    }, 120_000);
  });
}
