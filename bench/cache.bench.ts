// The cache row by row: 1,000 warm keys, so that calls in flight do not share a read.
import * as devalue from 'devalue';
import type { CacheOptions, CacheService } from '../dist/cache/index.js';
import { ValueCodec } from '../dist/cache/value-codec.js';
import type { BenchApplication } from './lib/application.js';
import { KEYS, type Bench, type Scenario, type Variant } from './lib/bench.js';
import { openBento, openCacheable, openCacheManager, openOwn, type Opened } from './lib/cache-peers.js';

const TTL_MS = 3_600_000;
const MANY = 100;
const TAGGED = 10_000;

/** About 1 KB of JSON. */
function user(id: number) {
  const role = { name: 'editor', scope: 'tenant-1', grantedAt: '2024-05-17T09:30:00.000Z' };
  return {
    id: `user-${id}`,
    name: 'Ada Lovelace',
    email: 'ada@example.org',
    tenant: { id: 'tenant-1', plan: 'business' },
    roles: Array.from({ length: 11 }, (_, index) => ({ ...role, id: index })),
    active: true,
  };
}

const NAMES = Array.from({ length: KEYS }, (_, index) => `user-${index}`);
const name = (index: number): string => NAMES[index % KEYS]!;

function neverLoaded(): never {
  throw new Error('a warm key was missed');
}

/** Opens what a row needs, fills it, and closes it afterwards. */
function row(
  operation: string,
  counts: { sequential: number; concurrent: number },
  open: (
    application: BenchApplication,
    keep: <T extends Opened<unknown>>(opened: T) => T,
  ) => Promise<Scenario['variants']>,
): Bench {
  return {
    capability: 'cache',
    ...counts,
    async open(application) {
      const opened: Opened<unknown>[] = [];
      const variants = await open(application, (each) => {
        opened.push(each);
        return each;
      });
      return {
        operation,
        variants,
        close: async () => {
          for (const each of opened) await each.close();
        },
      };
    },
  };
}

/**
 * A cache of this package with time for every answer: peers wait as long as it takes. A call that failed all the
 * same would look quick, so it ends the run.
 */
async function openPatient(url: string, options: CacheOptions): Promise<Opened<CacheService>> {
  const { cache, close } = await openOwn(url, { timeout: '1500ms', ...options });
  return {
    cache,
    close: async () => {
      const { readFailures, writeFailures, invalidationFailures } = cache.stats();
      await close();
      const failures = readFailures + writeFailures + invalidationFailures;
      if (failures > 0)
        throw new Error(`${failures} calls of the cache failed: its figures are worth nothing`);
    },
  };
}

type SetOne = (key: string, value: unknown) => Promise<unknown>;

async function fill(...writers: SetOne[]): Promise<void> {
  for (const write of writers) await Promise.all(NAMES.map((key, index) => write(key, user(index))));
}

/** Peers on Redis alone. */
function peersOnRedis({ url }: BenchApplication, keep: <T extends Opened<unknown>>(opened: T) => T) {
  const bento = keep(openBento(url, 'redis')).cache;
  const manager = keep(openCacheManager(url, 'redis')).cache;
  const cacheable = keep(openCacheable(url, 'redis')).cache;
  return {
    bento,
    manager,
    cacheable,
    writers: [
      (key, value) => bento.set({ key, value, ttl: TTL_MS }),
      (key, value) => manager.set(key, value, TTL_MS),
      (key, value) => cacheable.set(key, value, TTL_MS),
    ] satisfies SetOne[],
  };
}

const memoryHit = row(
  'hit in memory, about 1 KB',
  { sequential: 20_000, concurrent: 300_000 },
  async (app, keep) => {
    const raw = app.floor();
    const { cache } = keep(await openPatient(app.url, {}));
    const bento = keep(openBento(app.url, 'both')).cache;
    const manager = keep(openCacheManager(app.url, 'both')).cache;
    const cacheable = keep(openCacheable(app.url, 'both')).cache;
    await fill(
      (key, value) => raw.set(key, JSON.stringify(value), 'PX', TTL_MS),
      (key, value) => cache.set(key, value as object, { ttl: TTL_MS, timeout: '30s' }),
      (key, value) => bento.set({ key, value, ttl: TTL_MS }),
      (key, value) => manager.set(key, value, TTL_MS),
      (key, value) => cacheable.set(key, value, TTL_MS),
    );
    await inMemory(cache);
    const floor: Variant = {
      name: 'Map.get',
      run: async (index) => table.get(name(index)),
    };
    const table = new Map(NAMES.map((key, index) => [key, user(index)]));
    return [
      floor,
      { name: 'CacheService.get', run: (index) => cache.get(name(index)) },
      { name: 'CacheService.getOrSet', run: (index) => cache.getOrSet(name(index), neverLoaded) },
      { name: 'bentocache get', run: (index) => bento.get({ key: name(index) }) },
      { name: 'cache-manager get', run: (index) => manager.get(name(index)) },
      { name: 'cacheable get', run: (index) => cacheable.get(name(index)) },
    ];
  },
);

/** Reads until copies of all keys are in memory, so that echoes of the writes are over. */
async function inMemory(cache: CacheService): Promise<void> {
  for (let missing = KEYS; missing > 0;) {
    await Promise.all(NAMES.map((key) => cache.get(key)));
    missing = NAMES.filter((key) => cache.peek(key) === undefined).length;
    if (missing > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const redisHit = row(
  'hit in Redis, about 1 KB',
  // Fewer calls in a row would measure how soon the compiler gets to them.
  { sequential: 5000, concurrent: 15_000 },
  async (app, keep) => {
    const raw = app.floor();
    const { cache } = keep(await openPatient(app.url, { memory: false }));
    const tagged = cache.namespace('tagged', { tags: ['users', 'tenant-1'] });
    const local = keep(
      await openPatient(app.url, { memory: false, tagCheck: 'local', namespace: 'local' }),
    ).cache;
    const { bento, manager, cacheable, writers } = peersOnRedis(app, keep);
    await fill(
      (key, value) => raw.set(key, JSON.stringify(value), 'PX', TTL_MS),
      (key, value) => cache.set(key, value as object, { ttl: TTL_MS, timeout: '30s' }),
      (key, value) => tagged.set(key, value as object, { ttl: TTL_MS, timeout: '30s' }),
      (key, value) =>
        local.set(key, value as object, { ttl: TTL_MS, timeout: '30s', tags: ['users', 'tenant-1'] }),
      ...writers,
    );
    return [
      {
        name: 'ioredis get + JSON.parse',
        run: async (index) => JSON.parse((await raw.get(name(index)))!) as unknown,
      },
      { name: 'CacheService.get', run: (index) => cache.get(name(index)) },
      { name: 'CacheService.get, 2 tags', run: (index) => tagged.get(name(index)) },
      { name: 'CacheService.get, 2 tags, local check', run: (index) => local.get(name(index)) },
      { name: 'CacheService.getOrSet', run: (index) => cache.getOrSet(name(index), neverLoaded) },
      { name: 'bentocache get', run: (index) => bento.get({ key: name(index) }) },
      {
        name: 'bentocache getOrSet',
        run: (index) => bento.getOrSet({ key: name(index), ttl: TTL_MS, factory: neverLoaded }),
      },
      { name: 'cache-manager get', run: (index) => manager.get(name(index)) },
      { name: 'cache-manager wrap', run: (index) => manager.wrap(name(index), neverLoaded, TTL_MS) },
      { name: 'cacheable get', run: (index) => cacheable.get(name(index)) },
      {
        name: 'cacheable getOrSet',
        run: (index) => cacheable.getOrSet(name(index), neverLoaded, { ttl: TTL_MS }),
      },
    ];
  },
);

const readMany = row(`${MANY} keys at once`, { sequential: 200, concurrent: 800 }, async (app, keep) => {
  const raw = app.floor();
  const { cache } = keep(await openPatient(app.url, { memory: false }));
  const { manager, cacheable, writers } = peersOnRedis(app, keep);
  await fill(
    (key, value) => raw.set(key, JSON.stringify(value), 'PX', TTL_MS),
    (key, value) => cache.set(key, value as object, { ttl: TTL_MS, timeout: '30s' }),
    ...writers,
  );
  const keys = (index: number): string[] => Array.from({ length: MANY }, (_, at) => name(index * 7 + at));
  return [
    {
      name: 'ioredis mget + JSON.parse',
      run: async (index) => (await raw.mget(keys(index))).map((text) => JSON.parse(text!) as unknown),
    },
    { name: 'CacheService.getMany', run: (index) => cache.getMany(keys(index)) },
    { name: 'cache-manager mget', run: (index) => manager.mget(keys(index)) },
    { name: 'cacheable getMany', run: (index) => cacheable.getMany(keys(index)) },
  ];
});

const write = row('write, about 1 KB', { sequential: 5000, concurrent: 10_000 }, async (app, keep) => {
  const raw = app.floor();
  const { cache } = keep(await openPatient(app.url, {}));
  const bento = keep(openBento(app.url, 'both')).cache;
  const { manager, cacheable } = peersOnRedis(app, keep);
  const value = user(1);
  await cache.set('warm', value);
  return [
    {
      name: 'ioredis set + JSON.stringify',
      run: (index) => raw.set(name(index), JSON.stringify(value), 'PX', TTL_MS),
    },
    { name: 'CacheService.set', run: (index) => cache.set(name(index), value, { ttl: TTL_MS }) },
    { name: 'bentocache set, with bus', run: (index) => bento.set({ key: name(index), value, ttl: TTL_MS }) },
    { name: 'cache-manager set', run: (index) => manager.set(name(index), value, TTL_MS) },
    { name: 'cacheable set', run: (index) => cacheable.set(name(index), value, TTL_MS) },
  ];
});

/** Tags that all keys have, so that calls in flight are for different ones. */
const TAGS = Array.from({ length: 8 }, (_, index) => `all-${index}`);
const tag = (index: number): string => TAGS[index % TAGS.length]!;

const invalidation = row(
  `invalidation of a tag of ${TAGGED.toLocaleString('en')} keys`,
  // Fewer would measure how soon the compiler gets to them.
  { sequential: 1000, concurrent: 5000 },
  async (app, keep) => {
    const raw = app.floor();
    const { cache } = keep(await openPatient(app.url, { memory: false }));
    const bento = keep(openBento(app.url, 'redis')).cache;
    const cacheable = keep(openCacheable(app.url, 'redis', true)).cache;
    for (let from = 0; from < TAGGED; from += KEYS) {
      const ids = NAMES.map((_, index) => `tagged-${from + index}`);
      await Promise.all(ids.map((key) => cache.set(key, 1, { ttl: TTL_MS, timeout: '30s', tags: TAGS })));
      await Promise.all(ids.map((key) => bento.set({ key, value: 1, ttl: TTL_MS, tags: TAGS })));
      await Promise.all(ids.map((key) => cacheable.set(key, 1, { ttl: TTL_MS, tags: TAGS })));
    }
    return [
      { name: 'ioredis incr', run: (index) => raw.incr(tag(index)) },
      { name: 'CacheService.deleteByTag', run: (index) => cache.deleteByTag(tag(index)) },
      { name: 'bentocache deleteByTag', run: (index) => bento.deleteByTag({ tags: [tag(index)] }) },
      { name: 'cacheable tags.invalidateTag', run: (index) => cacheable.tags.invalidateTag(tag(index)) },
    ];
  },
);

const LOAD_MS = 5;
const load = (): Promise<number> => new Promise((resolve) => setTimeout(resolve, LOAD_MS, 1));

const handOver = row(
  `hand-over of a load of ${LOAD_MS} ms to a waiter of another application`,
  { sequential: 100, concurrent: 500 },
  async (app, keep) => {
    const loader = keep(await openPatient(app.url, { memory: false })).cache;
    const waiter = keep(await openPatient(app.url, { memory: false })).cache;
    let run = 0;
    return [
      { name: 'the load alone', run: load },
      {
        name: 'CacheService.getOrSet, waiting',
        run: async () => {
          const key = `hand-over-${(run += 1)}`;
          const loading = new Promise<void>((begun) => {
            void loader.getOrSet(key, () => (begun(), load()));
          });
          await loading;
          await waiter.getOrSet(key, neverLoaded);
        },
      },
    ];
  },
);

const HEARD_MS = 5_000;

const coherence = row(
  'write by one application, read by another that had a copy',
  { sequential: 500, concurrent: 2000 },
  async (app, keep) => {
    const raw = app.floor();
    const writer = keep(await openPatient(app.url, {})).cache;
    const reader = keep(await openPatient(app.url, {})).cache;
    await fill((key, value) => writer.set(key, value as object, { ttl: TTL_MS, timeout: '30s' }));
    await inMemory(reader);
    return [
      {
        name: 'ioredis set, get',
        run: async (index) => {
          await raw.set(name(index), index);
          await raw.get(name(index));
        },
      },
      {
        name: 'CacheService.set, heard of, get',
        run: async (index) => {
          const key = name(index);
          await writer.set(key, index, { ttl: TTL_MS });
          const endMs = performance.now() + HEARD_MS;
          while (reader.peek(key) !== undefined) {
            if (performance.now() > endMs) throw new Error('a change was not heard of');
            await new Promise((resolve) => setImmediate(resolve));
          }
          if ((await reader.get(key)) !== index) throw new Error('an old value was read');
        },
      },
    ];
  },
);

const codec = row(
  'value of about 1 KB to text and back',
  { sequential: 5000, concurrent: 20_000 },
  async () => {
    const value = user(1);
    const dated = { ...value, createdAt: new Date() };
    const own = new ValueCodec(undefined, undefined, 64 * 1024 * 1024);
    const there = (wanted: unknown): unknown => {
      const { flags, bytes } = own.encode(wanted);
      return own.decode(flags, Buffer.from(bytes));
    };
    return [
      {
        name: 'JSON',
        run: async () => JSON.parse(Buffer.from(JSON.stringify(value)).toString()) as unknown,
      },
      { name: 'the default codec', run: async () => there(value) },
      { name: 'the default codec, with a Date', run: async () => there(dated) },
      {
        name: 'devalue',
        run: async () => devalue.parse(Buffer.from(devalue.stringify(value)).toString()) as unknown,
      },
    ];
  },
);

export const cacheBenches: readonly Bench[] = [
  memoryHit,
  redisHit,
  readMany,
  write,
  invalidation,
  handOver,
  coherence,
  codec,
];
