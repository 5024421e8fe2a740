import type { TestingModule } from '@nestjs/testing';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { CacheModule, CacheService } from 'rednest/cache';
import { slotOf } from 'rednest';
import { CacheSpace, entryId } from '../../src/cache/cache-key.js';
import { createModule, inject } from '../support/app.js';
import { startCluster, type TestCluster } from '../support/cluster.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startSentinelSet, type SentinelSet } from '../support/sentinel.js';
import { startNative, type NativeServer } from '../support/servers.js';

describeNative('CacheService after its server has changed', () => {
  let module: TestingModule;
  let cache: CacheService;
  const keyPrefix = uniquePrefix();

  async function start(redis: Parameters<typeof createModule>[0]['redis']): Promise<void> {
    module = await createModule({ redis: { ...redis, keyPrefix }, imports: [CacheModule.forRoot()] });
    cache = inject(module, CacheService);
    const written = Array.from({ length: 50 }, (_, id) => cache.set(['k', id], 'before', { ttl: '1h' }));
    expect(await Promise.all(written)).toEqual(written.map(() => true));
    await cache.get(['k', 0]);
    await eventually('a copy is in memory', async () => (await cache.get(['k', 0])) && cache.peek(['k', 0]));
  }

  const readAll = () => Promise.all(Array.from({ length: 50 }, (_, id) => cache.get(['k', id])));

  let server: NativeServer | undefined;
  let set: SentinelSet | undefined;
  let cluster: TestCluster | undefined;
  beforeEach(() => {
    server = set = cluster = undefined;
  });
  afterEach(async () => {
    await module?.close();
    await server?.stop();
    await set?.stop();
    await cluster?.stop();
  });

  it('believes nothing that was written before a restart from a snapshot', async () => {
    server = await startNative();
    await start({ url: server.url });
    await module.get(CacheService).set('last', 'kept');
    const { Redis } = await import('ioredis');
    const admin = new Redis(server.url);
    admin.on('error', () => undefined);
    await admin.save();
    admin.disconnect();

    await server.kill();
    await server.restart();
    await eventually('the cache works again', () => cache.set('after', 'new'));

    expect(new Set(await readAll())).toEqual(new Set([undefined]));
    expect(await cache.get('after')).toBe('new');
  }, 30_000);

  it('believes nothing that was written before a failover', async () => {
    set = await startSentinelSet();
    await start({ env: set.env });
    const seen: unknown[] = [];

    const old = await set.killMaster();
    const over = new AbortController();
    const watching = (async () => {
      while (!over.signal.aborted) {
        seen.push(...(await readAll()));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    })();
    await set.promoted(old);
    await eventually('the new primary takes writes', () => cache.set('after', 'new'), 30_000);
    over.abort();
    await watching;

    expect(await readAll()).toEqual(Array.from({ length: 50 }, () => undefined));
    expect(await cache.get('after')).toBe('new');
    // From memory, until the loss of the connection was noticed.
    process.stderr.write(
      `old values read during the failover: ${seen.filter((each) => each === 'before').length}\n`,
    );
  }, 60_000);

  it('believes nothing that was written before a failover of a shard of a Cluster', async () => {
    cluster = await startCluster();
    await start({ env: cluster.env });
    const slots = new Set(await cluster.slotsOfShard(0));
    const space = new CacheSpace(keyPrefix, 'default', 16);
    const isLost = (id: number): boolean => {
      const key = entryId(['k', id]);
      return slots.has(slotOf(space.bucketOf(key).entry(key)));
    };

    const old = await cluster.killMaster(0);
    await cluster.promoted(old);
    await eventually(
      'every shard takes writes',
      async () => {
        const written = Array.from({ length: 50 }, (_, id) => cache.set(['after', id], 'new'));
        return (await Promise.all(written)).every(Boolean);
      },
      30_000,
    );

    // What the other shards have is as good as before.
    const expected = Array.from({ length: 50 }, (_, id) => (isLost(id) ? undefined : 'before'));
    expect(new Set(expected).size).toBe(2);
    const read = Array.from({ length: 50 }, (_, id) => cache.get(['k', id], { timeout: '5s' }));
    expect(await Promise.all(read)).toEqual(expected);
  }, 60_000);
});
