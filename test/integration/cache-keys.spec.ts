import type { TestingModule } from '@nestjs/testing';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Cluster, Command, Redis } from 'ioredis';
import { ConfigurationError } from 'rednest';
import { CacheModule, CacheService, type CacheOptions } from 'rednest/cache';
import { createModule, inject } from '../support/app.js';
import { startCluster, type TestCluster } from '../support/cluster.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';

/** Everything a master was told, and what its scripts did. */
class Watch {
  readonly scripts: { name: string; declared: string[]; touched: string[] }[] = [];
  seen = '';

  private constructor(private readonly monitor: Redis) {
    monitor.on('error', () => undefined);
    monitor.on('monitor', (_time, args: string[], source: string) => this.note(args, source));
  }

  static async on(port: number): Promise<Watch> {
    const redis = new Redis(port, '127.0.0.1');
    redis.on('error', () => undefined);
    const watch = new Watch(await redis.monitor());
    redis.disconnect();
    return watch;
  }

  close(): void {
    this.monitor.disconnect();
  }

  private note([name = '', ...args]: string[], source: string): void {
    const command = name.toLowerCase();
    if (command === 'echo') this.seen = args[0]!;
    // A server that runs a script says so before it says what the script does.
    if (source === 'lua') this.scripts.at(-1)!.touched.push(...keysOf(command, args));
    else if (command.startsWith('eval')) {
      this.scripts.push({ name: args[0]!, declared: args.slice(2, 2 + Number(args[1])), touched: [] });
    }
  }
}

function keysOf(name: string, args: readonly string[]): string[] {
  if (['time', 'info', 'publish'].includes(name)) return [];
  return new Command(name, [...args]).getKeys().map(String);
}

describeNative('keys of scripts on a Cluster of 3 masters', () => {
  let cluster: TestCluster;
  const modules: TestingModule[] = [];
  const watches: Watch[] = [];

  beforeAll(async () => {
    cluster = await startCluster({ masters: 3, replicasPerMaster: 0 });
    for (const { port } of cluster.nodes) watches.push(await Watch.on(port));
  }, 40_000);
  afterAll(async () => {
    for (const module of modules) await module.close();
    for (const watch of watches) watch.close();
    await cluster?.stop();
  });

  async function open(options: CacheOptions): Promise<CacheService> {
    const module = await createModule({
      redis: { env: cluster.env, keyPrefix: uniquePrefix() },
      imports: [CacheModule.forRoot({ timeout: '10s', ...options })],
    });
    modules.push(module);
    return inject(module, CacheService);
  }

  /** Every operation, on keys of every bucket. */
  async function useAll(cache: CacheService): Promise<void> {
    const keys = Array.from({ length: 40 }, (_, id) => ['k', id]);
    const tags = ['all', 'some'];
    for (const key of keys) {
      await cache.set(key, 1, { tags });
      await cache.add(key, 2, { tags });
      await cache.get(key);
      await cache.getOrSet(key, () => 3, { tags, forceRefresh: true });
      await cache.writeThrough(key, 4, () => 4, { tags });
    }
    await cache.getMany(keys);
    await cache.setMany(keys.map((key) => ({ key, value: 5 })));
    await cache.getOrSetMany(
      [100, 101, 102],
      (id) => ['k', id],
      async (ids) => new Map(ids.map((id) => [id, id])),
    );
    await expect(
      cache.getOrSet('failing', () => Promise.reject(new Error('the store is gone'))),
    ).rejects.toThrow('gone');
    // Two views of one key: the one that comes second waits for a load that takes longer than its lease.
    const slow = () => new Promise<number>((resolve) => setTimeout(resolve, 250, 6));
    await Promise.all([
      cache.getOrSet('slow', slow, { lease: '100ms' }),
      cache.namespace(cache.name, { version: 2 }).getOrSet('slow', slow, { lease: '100ms' }),
    ]);
    await eventually('loads are written', () => cache.stats().pendingWrites === 0);
    await cache.expire(...keys);
    await cache.expireByTag('some');
    await cache.deleteByTag(...tags);
    await cache.delete(...keys);
    await cache.clear();
    expect(cache.stats()).toMatchObject({ readFailures: 0, writeFailures: 0, deleteFailures: 0 });
    expect(cache.stats()).toMatchObject({ invalidationFailures: 0, corrupt: 0 });
  }

  it.each<[string, CacheOptions]>([
    ['tracking', {}],
    ['pub/sub', { coherence: 'pubsub' }],
    ['tags checked by the process', { tagCheck: 'local' }],
  ])(
    'are declared, all of them, and share a slot: %s',
    async (_what, options) => {
      const cache = await open(options);

      await useAll(cache);
      for (const [index, { port }] of cluster.nodes.entries()) {
        const redis = new Redis(port, '127.0.0.1');
        redis.on('error', () => undefined);
        const mark = uniquePrefix();
        await redis.echo(mark);
        redis.disconnect();
        await eventually('the monitor has caught up', () => watches[index]!.seen === mark);
      }

      const scripts = watches.flatMap((watch) => watch.scripts);
      const undeclared = scripts.filter(
        ({ declared, touched }) => !touched.every((key) => declared.includes(key)),
      );
      expect(undeclared).toEqual([]);
      // Every script of the cache but those for what is gone: a claim that fails, a state that is too large.
      const kinds = new Set(scripts.filter(({ touched }) => touched.length > 0).map(({ name }) => name));
      process.stderr.write(`${scripts.length} runs of ${kinds.size} scripts, by hash or source\n`);
      expect(watches.every((watch) => watch.scripts.length > 0)).toBe(true);
    },
    60_000,
  );

  it('refuses a Cluster client of the application, on which nobody can listen', async () => {
    const nodes = cluster.nodes.map(({ port }) => ({ host: '127.0.0.1', port }));
    const client = new Cluster(nodes, { lazyConnect: true });
    try {
      const opening = createModule({ redis: { client, boot: 'lazy' }, imports: [CacheModule.forRoot()] });

      await expect(opening).rejects.toThrow(ConfigurationError);
      await expect(opening).rejects.toThrow(/"default" is a Cluster client.+"cluster" instead/);
    } finally {
      client.disconnect();
    }
  });
});
