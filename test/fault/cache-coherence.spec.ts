import type { TestingModule } from '@nestjs/testing';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { CacheModule, CacheService, type CacheOptions } from 'rednest/cache';
import type { RedisModuleOptions } from 'rednest';
import { CacheSpace } from '../../src/cache/cache-key.js';
import { createModule, inject } from '../support/app.js';
import { startCluster } from '../support/cluster.js';
import { eventually } from '../support/eventually.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startNative } from '../support/servers.js';

/** A peer that vanishes without a word is noticed within this time, in milliseconds; see TrackingConnection. */
const SILENCE_MS = 2_000;

interface Node {
  module: TestingModule;
  cache: CacheService;
}

/** Servers, and how applications and the test reach them. */
interface Place {
  readonly redis: RedisModuleOptions;
  /** Ports of the masters. */
  readonly ports: readonly number[];
  /** Parts that a namespace is split into. */
  readonly buckets: number;
  stop(): Promise<void>;
}

async function startOne(): Promise<Place> {
  const server = await startNative();
  return { redis: { url: server.url }, ports: [server.port], buckets: 1, stop: () => server.stop() };
}

async function startMasters(): Promise<Place> {
  const cluster = await startCluster({ masters: 3, replicasPerMaster: 0 });
  const ports = cluster.nodes.map(({ port }) => port);
  return { redis: { env: cluster.env }, ports, buckets: 16, stop: () => cluster.stop() };
}

for (const means of ['tracking', 'pubsub'] as const) {
  describeNative(`memory kept coherent by ${means}`, () => behaviour(means, startOne));
  describeNative(`memory kept coherent by ${means} on a Cluster of 3 masters`, () =>
    behaviour(means, startMasters),
  );
}

function behaviour(means: NonNullable<CacheOptions['coherence']>, startPlace: () => Promise<Place>): void {
  let place: Place;
  let masters: Redis[];
  let keyPrefix: string;
  let here: Node;
  let there: Node;

  async function start(redis: RedisModuleOptions = place.redis): Promise<Node> {
    const module = await createModule({
      redis: { ...redis, keyPrefix },
      imports: [CacheModule.forRoot({ coherence: means })],
    });
    const cache = inject(module, CacheService);
    await cache.get('warm');
    await eventually('the memory tier is armed', () => cache.stats().isCoherent);
    return { module, cache };
  }

  async function inMemory(key: string, value: unknown): Promise<void> {
    await eventually(`a copy of ${key} is in memory`, async () => {
      expect(await here.cache.get(key)).toBe(value);
      return here.cache.peek(key) === value;
    });
  }

  /** Somebody else does the same on every master; one of them has the key. */
  const onMasters = (work: (master: Redis) => Promise<unknown>) =>
    Promise.all(masters.map((master) => work(master).catch(ignoreMoved)));

  beforeAll(async () => {
    place = await startPlace();
    masters = place.ports.map((port) => new Redis(port, '127.0.0.1'));
    for (const master of masters) master.on('error', () => undefined);
  }, 40_000);
  beforeEach(async () => {
    keyPrefix = uniquePrefix();
    here = await start();
    there = await start();
  });
  afterEach(async () => {
    await here.module.close();
    await there.module.close();
  });
  afterAll(async () => {
    for (const master of masters ?? []) master.disconnect();
    await place?.stop();
  });

  it('drops a copy when another process writes, deletes or invalidates', async () => {
    const changes = [
      () => there.cache.set('k', 'new', { tags: ['t'] }),
      () => there.cache.delete('k'),
      () => there.cache.deleteByTag('t'),
      () => there.cache.clear(),
      () => there.cache.expire('k'),
    ];
    for (const change of changes) {
      await here.cache.set('k', 'old', { tags: ['t'] });
      await inMemory('k', 'old');

      await change();

      await eventually('the copy is not served', () => here.cache.peek('k') === undefined, 500);
      expect(await here.cache.get('k')).not.toBe('old');
    }
  });

  it('serves nothing old after every listening connection was killed', async () => {
    await here.cache.set('k', 'old');
    await inMemory('k', 'old');

    await onMasters((master) => master.call('CLIENT', 'KILL', 'TYPE', 'pubsub'));
    await eventually('the loss is noticed', () => !here.cache.stats().isCoherent, 500);
    await there.cache.set('k', 'new');

    expect(await here.cache.get('k')).toBe('new');
    await eventually('the memory tier is armed again', () => here.cache.stats().isCoherent);
    expect(await here.cache.get('k')).toBe('new');
    await inMemory('k', 'new');
  });

  it('does not serve what it kept before the connection was lost, once it is armed again', async () => {
    await here.cache.set('k', 'old');
    await inMemory('k', 'old');
    const { hits, memoryHits } = here.cache.stats();

    await onMasters((master) => master.call('CLIENT', 'KILL', 'TYPE', 'pubsub'));
    await eventually('the loss is noticed', () => !here.cache.stats().isCoherent, 500);
    await eventually('the memory tier is armed again', () => here.cache.stats().isCoherent);

    expect(await here.cache.get('k')).toBe('old');
    expect(here.cache.stats()).toMatchObject({ hits: hits + 1, memoryHits });
  });

  if (means === 'tracking') {
    it.each<[string, (master: Redis, key: string) => Promise<unknown>]>([
      ['DEL', (master, key) => master.del(key)],
      ['FLUSHALL', (master) => master.flushall()],
      ['SET', (master, key) => master.set(key, 'something else')],
    ])('hears of a %s by somebody else', async (_name, change) => {
      await here.cache.set('k', 'old');
      await inMemory('k', 'old');

      const key = new CacheSpace(keyPrefix, 'default', place.buckets).bucketOf('k').entry('k');
      await onMasters((master) => change(master, key));

      await eventually('the copy is not served', () => here.cache.peek('k') === undefined, 500);
      expect(await here.cache.get('k')).toBeUndefined();
    });

    it('hears that an entry has ended', async () => {
      await here.cache.set('k', 'old', { ttl: '100ms', jitter: 0 });
      expect(await here.cache.get('k')).toBe('old');

      const hasEnded = async () => (await here.cache.get('k')) === undefined;
      await eventually('neither tier has it', hasEnded, 1_000);
      expect(here.cache.peek('k')).toBeUndefined();
    });
  }

  // A proxy stands before one server; nodes of a Cluster tell clients of each other.
  const itAlone = startPlace === startOne ? it : undefined;
  itAlone?.('stops serving copies within 2 s when the network goes silent', async () => {
    const proxy = await FaultProxy.listen(place.ports[0]!);
    const far = await start({ url: proxy.url });
    await far.cache.set('k', 'old');
    await far.cache.get('k');
    await eventually('a copy is in memory', async () => (await far.cache.get('k')) && far.cache.peek('k'));

    proxy.freezeExisting();
    const startedMs = performance.now();
    await there.cache.set('k', 'new');
    await eventually('the copy is not served', () => far.cache.peek('k') === undefined);
    const tookMs = performance.now() - startedMs;
    process.stderr.write(`a silent network noticed after ${tookMs.toFixed(0)} ms\n`);

    expect(tookMs).toBeLessThan(SILENCE_MS + 1_000);
    proxy.heal();
    await far.module.close();
    await proxy.close();
  });
}

/** The other masters do not have the key. */
function ignoreMoved(error: Error): void {
  if (!error.message.startsWith('MOVED')) throw error;
}
