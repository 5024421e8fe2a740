// What a cache answers when processes, writes and faults meet: Rednest beside its peers, each with its default
// options. Two caches on one server stand for two processes. Prints the table of docs/cache.md.
// Run: npm run bench -- --only cache-semantics
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { startNative, type NativeServer } from '../test/support/servers.js';
import { openBento, openCacheable, openCacheManager, openOwn } from './lib/cache-peers.js';

/** What the scenarios need of a cache. */
interface Contestant {
  get(key: string): Promise<unknown>;
  set(key: string, value: string, tags?: string[]): Promise<unknown>;
  getOrSet(key: string, load: () => Promise<string>, tags?: string[]): Promise<unknown>;
  /** Absent without tags. */
  invalidate?(tag: string): Promise<unknown>;
  close(): Promise<unknown>;
}

const TTL_MS = 60_000;
const LOAD_MS = 100;
/** Longer than any message takes. */
const SETTLE_MS = 500;
const FREEZE_MS = 1_500;

const CONTESTANTS: Readonly<Record<string, (url: string) => Promise<Contestant>>> = {
  Rednest: async (url) => {
    const opened = await openOwn(url, { ttl: TTL_MS });
    const { cache } = opened;
    return {
      get: (key) => cache.get(key),
      set: (key, value, tags = []) => cache.set(key, value, { tags }),
      getOrSet: (key, load, tags = []) => cache.getOrSet(key, load, { tags }),
      invalidate: (tag) => cache.deleteByTag(tag),
      close: () => opened.close(),
    };
  },
  '@nestjs/cache-manager': async (url) => {
    // The Nest module hands out what this makes.
    const { cache, close } = openCacheManager(url, 'both');
    return {
      get: (key) => cache.get(key),
      set: (key, value) => cache.set(key, value, TTL_MS),
      getOrSet: (key, load) => cache.wrap(key, load, TTL_MS),
      close,
    };
  },
  cacheable: async (url) => {
    const { cache, close } = openCacheable(url, 'both', true);
    return {
      get: (key) => cache.get(key),
      set: (key, value, tags = []) => cache.set(key, value, { ttl: TTL_MS, tags }),
      getOrSet: async (key, load, tags = []) => {
        if (tags.length === 0) return cache.getOrSet(key, load, { ttl: TTL_MS });
        // Only its `set` takes tags.
        const value = await load();
        await cache.set(key, value, { ttl: TTL_MS, tags });
        return value;
      },
      invalidate: (tag) => cache.tags.invalidateTag(tag),
      close,
    };
  },
  bentocache: async (url) => {
    const { cache, close } = openBento(url, 'both');
    return {
      get: (key) => cache.get({ key }),
      set: (key, value, tags = []) => cache.set({ key, value, ttl: TTL_MS, tags }),
      getOrSet: (key, load, tags = []) => cache.getOrSet({ key, factory: load, ttl: TTL_MS, tags }),
      invalidate: (tag) => cache.deleteByTag({ tags: [tag] }),
      close,
    };
  },
};

interface Scene {
  readonly server: NativeServer;
  readonly admin: Redis;
  readonly open: () => Promise<Contestant>;
}

/** Reads until the value is there, so that both tiers have it. */
async function settle(cache: Contestant, key: string): Promise<void> {
  for (let read = 0; read < 3; read += 1) {
    await cache.get(key);
    await pause(50);
  }
}

/** Begins a load, does something while it runs, and waits for its end. */
async function during(cache: Contestant, key: string, tags: string[], change: () => Promise<unknown>) {
  let begun!: () => void;
  const begins = new Promise<void>((resolve) => (begun = resolve));
  const load = async (): Promise<string> => {
    begun();
    await pause(LOAD_MS);
    return 'old';
  };
  const loading = cache.getOrSet(key, load, tags);
  await begins;
  await change();
  await loading;
  await pause(SETTLE_MS);
}

const SCENARIOS: Readonly<Record<string, (scene: Scene) => Promise<string>>> = {
  'loads of 8 processes for one key': async ({ open }) => {
    const caches = await Promise.all(Array.from({ length: 8 }, open));
    let loads = 0;
    const load = async (): Promise<string> => {
      loads += 1;
      await pause(LOAD_MS);
      return 'value';
    };
    await Promise.all(caches.map((cache) => cache.getOrSet('shared', load)));
    return String(loads);
  },
  'a load overwrites a newer write': async ({ open }) => {
    const [loader, writer] = [await open(), await open()];
    await during(loader, 'late', [], () => writer.set('late', 'new'));
    return (await (await open()).get('late')) === 'old' ? 'yes' : 'no';
  },
  'a tag invalidated during a load': async ({ open }) => {
    const [loader, other] = [await open(), await open()];
    if (!other.invalidate) return 'no tags';
    await during(loader, 'tagged', ['tag'], () => other.invalidate!('tag'));
    return (await loader.get('tagged')) === 'old' ? 'old value' : 'counts';
  },
  'memory after a write elsewhere': async ({ open }) => {
    const [reader, writer] = [await open(), await open()];
    await writer.set('told', 'old');
    await settle(reader, 'told');
    await writer.set('told', 'new');
    await pause(SETTLE_MS);
    return (await reader.get('told')) === 'old' ? 'old value' : 'new value';
  },
  'memory after its bus was cut': async ({ open, admin }) => {
    const [reader, writer] = [await open(), await open()];
    await writer.set('cut', 'old');
    await settle(reader, 'cut');
    await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await writer.set('cut', 'new');
    await pause(SETTLE_MS);
    return (await reader.get('cut')) === 'old' ? 'old value' : 'new value';
  },
  'memory after a FLUSHALL by hand': async ({ open, admin }) => {
    const reader = await open();
    await reader.set('flushed', 'old');
    await settle(reader, 'flushed');
    await admin.flushall();
    await pause(SETTLE_MS);
    return (await reader.get('flushed')) === 'old' ? 'kept' : 'dropped';
  },
  [`answer while Redis hangs for ${FREEZE_MS} ms`]: async ({ open, server }) => {
    const cache = await open();
    await cache.set('other', 'value');
    server.freeze();
    const startedMs = performance.now();
    const thaw = pause(FREEZE_MS).then(() => server.resume());
    await cache.getOrSet('hanging', async () => 'value');
    const tookMs = performance.now() - startedMs;
    await thaw;
    return `${Math.round(tookMs / 50) * 50} ms`;
  },
};

async function play(name: string, scenario: (scene: Scene) => Promise<string>): Promise<string> {
  const server = await startNative();
  const admin = new Redis(server.url);
  admin.on('error', () => undefined);
  const opened: Contestant[] = [];
  const open = async (): Promise<Contestant> => {
    const cache = await CONTESTANTS[name]!(server.url);
    opened.push(cache);
    // Connections and buses are up.
    await cache.set('warm', 'up');
    await settle(cache, 'warm');
    return cache;
  };
  try {
    return await scenario({ server, admin, open });
  } finally {
    await Promise.all(opened.map((cache) => cache.close()));
    admin.disconnect();
    await server.stop();
  }
}

const names = Object.keys(CONTESTANTS);
process.stdout.write(`| | ${names.join(' | ')} |\n| --- |${' --- |'.repeat(names.length)}\n`);
for (const [what, scenario] of Object.entries(SCENARIOS)) {
  const cells: string[] = [];
  for (const name of names) cells.push(await play(name, scenario));
  process.stdout.write(`| ${what} | ${cells.join(' | ')} |\n`);
}
