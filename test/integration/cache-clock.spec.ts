import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { Redis } from 'ioredis';
import { CacheSpace } from '../../src/cache/cache-key.js';
import * as scripts from '../../src/cache/cache.scripts.js';
import { encodeBody, StoredEntry } from '../../src/cache/entry-format.js';
import { uniquePrefix } from '../support/prefix.js';
import { startEmbedded, type TestServer } from '../support/servers.js';

const DAY_US = 86_400_000_000;
const HOUR_US = DAY_US / 24;
/** Longer than clocks move here, so that no entry ends for that. */
const TTL_MS = 300 * 86_400_000;
const KEYS = ['a', 'b', 'c'];
const TAGS = ['x', 'y'];

type Step =
  | { op: 'set' | 'delete' | 'add' | 'expire' | 'begin' | 'end'; key: string; tags: string[] }
  | { op: 'tag'; tags: string[] }
  | { op: 'clear' | 'other server' }
  | { op: 'clock'; byUs: number };

const key = fc.constantFrom(...KEYS);
const tags = fc.subarray(TAGS);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ op: fc.constantFrom('set', 'begin', 'end'), key, tags }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constantFrom('delete', 'add', 'expire'), key, tags }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('tag'), tags: fc.subarray(TAGS, { minLength: 1 }) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constantFrom('clear', 'other server') }) },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('clock'),
      // Not at all, a little, and days, either way.
      byUs: fc.oneof(
        fc.constant(0),
        fc.integer({ min: -200_000, max: 200_000 }),
        fc.integer({ min: -9, max: 9 }).map((days) => days * DAY_US),
      ),
    }),
  },
);

/** What the cache should know: the value of a key, unless something has voided it since. */
interface Known {
  readonly value: number;
  readonly tags: readonly string[];
  /** End of freshness by the server's clock: when that goes back, what was stale is fresh again. */
  softUs: number;
}

/** A load that was begun, and whether something has happened since that it must not survive. */
interface Load {
  readonly token: string;
  readonly stamp: number;
  readonly key: string;
  readonly beganUs: number;
  readonly tags: readonly string[];
  isVoid: boolean;
}

/** The scripts, on a server whose clock is moved by hand. */
class Clockwork {
  private readonly bucket = new CacheSpace(uniquePrefix(), 'n', 1).buckets[0];
  private count = 0;
  nowUs = 1_800_000_000_000_000;

  constructor(private readonly redis: Redis) {}

  private async run(
    script: { lua: string },
    keys: string[],
    ...args: (string | number | Buffer)[]
  ): Promise<unknown> {
    const clock = `local function server_now() return ${this.nowUs} end\n`;
    const lua = script.lua.replace(/local function server_now\(\)[\s\S]*?\nend\n/, () => clock);
    return this.redis.callBuffer('EVAL', lua, keys.length, ...keys, ...args);
  }

  private places(id: string): string[] {
    const entry = this.bucket.entry(id);
    return [this.bucket.state, entry, this.bucket.lease(entry)];
  }

  async set(mode: 'set' | 'add', id: string, value: number, own: readonly string[]): Promise<boolean> {
    const script = mode === 'set' ? scripts.WRITE : scripts.ADD;
    return (await this.run(script, this.places(id), TTL_MS, TTL_MS, body(value, own), 'w', '')) !== 0;
  }

  async remove(mode: 'delete' | 'expire', id: string): Promise<void> {
    await this.run(scripts.REMOVE, this.places(id), mode, 'w', '');
  }

  async invalidate(names: readonly string[] | 'all'): Promise<void> {
    const { state, all } = this.bucket;
    const [signals, fields] =
      names === 'all'
        ? [[all], ['*']]
        : [names.map((name) => this.bucket.tag(name)), names.map((name) => `t:${name}`)];
    await this.run(scripts.INVALIDATE, [state, ...signals], 'delete', '', ...fields);
  }

  async begin(id: string): Promise<{ token: string; stamp: number } | undefined> {
    this.count += 1;
    const token = `t.${this.count};`;
    const reply = await this.run(scripts.LEAD, this.places(id), token, 60_000);
    const [, , role, stamp] = reply as [number, Buffer | null, number?, number?];
    return role === 1 ? { token, stamp: stamp! } : undefined;
  }

  async fill({ token, stamp, key: id, tags: own }: Load, value: number): Promise<boolean> {
    const reply = await this.run(
      scripts.FILL,
      this.places(id),
      token,
      stamp,
      'w',
      '',
      TTL_MS,
      TTL_MS,
      body(value, own),
    );
    return (reply as number[])[0] === 1;
  }

  async adoptAnother(): Promise<void> {
    await this.redis.hset(this.bucket.state, 'r', 'another');
    await this.run(scripts.ADOPT, [this.bucket.state, this.bucket.all], '');
  }

  async read(id: string): Promise<{ value: number; isStale: boolean } | undefined> {
    const [one, many] = [
      await this.run(scripts.READ, this.places(id).slice(0, 2)),
      await this.run(scripts.READ_MANY, this.places(id).slice(0, 2)),
    ] as [[number, Buffer | null], [number, Buffer | null]];
    expect(many[1]).toEqual(one[1]);
    if (one[1] === null) return undefined;
    const stored = StoredEntry.parse(one[1])!;
    return { value: Number(stored.bytes.toString()), isStale: stored.softUs <= this.nowUs };
  }
}

function body(value: number, own: readonly string[]): Buffer {
  return Buffer.from(encodeBody({ flags: 0, version: 0, loadMs: 0, tags: own }, String(value)));
}

describe('the cache on a server whose clock is wrong', () => {
  let server: TestServer;
  let redis: Redis;
  beforeAll(async () => {
    server = await startEmbedded();
    redis = new Redis(server.url);
    redis.on('error', () => undefined);
  });
  afterAll(async () => {
    await redis?.quit();
    await server?.stop();
  });

  it('neither brings back what is void nor loses what is not, however the clock jumps', async () => {
    const seed = Number(process.env['REDNEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
    process.stderr.write(`cache clock seed: ${seed}\n`);
    let jumpsBack = 0;

    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const cache = new Clockwork(redis);
        const known = new Map<string, Known>();
        let loads: Load[] = [];
        let value = 0;
        const voidLoads = (isHit: (load: Load) => boolean): void => {
          for (const load of loads) if (isHit(load)) load.isVoid = true;
        };
        const isFresh = (entry: Known | undefined): boolean =>
          entry !== undefined && entry.softUs > cache.nowUs;
        const faults: string[] = [];
        const check = (what: string, seen: unknown, expected: unknown): void => {
          if (seen !== expected) faults.push(`${what} is ${String(seen)}, not ${String(expected)}`);
        };
        const perform = async (each: Step): Promise<void> => {
          value += 1;
          switch (each.op) {
            case 'clock': {
              cache.nowUs += each.byUs;
              if (each.byUs < 0) jumpsBack += 1;
              return;
            }
            case 'set':
            case 'add': {
              const isTaken = each.op === 'add' && isFresh(known.get(each.key));
              check(
                `${each.op} of ${each.key}`,
                await cache.set(each.op, each.key, value, each.tags),
                !isTaken,
              );
              if (isTaken) return;
              known.set(each.key, { value, tags: each.tags, softUs: cache.nowUs + TTL_MS * 1_000 });
              return voidLoads((load) => load.key === each.key);
            }
            case 'delete':
              known.delete(each.key);
              voidLoads((load) => load.key === each.key);
              return cache.remove('delete', each.key);
            case 'expire': {
              const before = known.get(each.key);
              if (before && isFresh(before)) before.softUs = cache.nowUs;
              voidLoads((load) => load.key === each.key);
              return cache.remove('expire', each.key);
            }
            case 'tag':
              for (const [id, entry] of known)
                if (entry.tags.some((tag) => each.tags.includes(tag))) known.delete(id);
              voidLoads((load) => load.tags.some((tag) => each.tags.includes(tag)));
              return cache.invalidate(each.tags);
            case 'clear':
              known.clear();
              voidLoads(() => true);
              return cache.invalidate('all');
            case 'other server':
              known.clear();
              voidLoads(() => true);
              return cache.adoptAnother();
            case 'begin': {
              const begun = await cache.begin(each.key);
              if (isFresh(known.get(each.key))) check(`load of ${each.key}`, begun, undefined);
              if (begun)
                loads.push({ ...begun, key: each.key, beganUs: cache.nowUs, tags: each.tags, isVoid: false });
              return;
            }
            case 'end': {
              const load = loads.find((one) => one.key === each.key);
              if (!load) return;
              loads = loads.filter((one) => one !== load);
              const isKept = await cache.fill(load, value);
              if (load.isVoid) check(`fill of ${load.key}`, isKept, false);
              // What seems to have taken an hour is refused, which is safe.
              else if (cache.nowUs - load.beganUs < HOUR_US - 1e6) check(`fill of ${load.key}`, isKept, true);
              const softUs = cache.nowUs + TTL_MS * 1_000;
              if (isKept) known.set(each.key, { value, tags: load.tags, softUs });
            }
          }
        };
        for (const each of steps) {
          await perform(each);
          for (const id of KEYS) {
            const [found, expected] = [await cache.read(id), known.get(id)];
            check(`value of ${id}`, found?.value, expected?.value);
            if (expected) check(`staleness of ${id}`, found?.isStale, !isFresh(expected));
          }
          expect(faults).toEqual([]);
        }
      }),
      { seed, numRuns: 100, endOnFailure: true },
    );
    expect(jumpsBack).toBeGreaterThan(50);
  }, 60_000);
});
