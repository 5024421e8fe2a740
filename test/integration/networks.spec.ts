import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { Cluster, type Redis } from 'ioredis';
import { ConnectionRegistry, type RedisClient } from 'rednest';
import { createModule, inject } from '../support/app.js';
import { startCluster, type TestCluster } from '../support/cluster.js';
import { eventually } from '../support/eventually.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { SENTINEL_NAME, startSentinelSet, type SentinelSet } from '../support/sentinel.js';

/** Servers announce addresses that are not those an application may use; the way leads through proxies. */
describeNative('servers behind another network', () => {
  const proxies: FaultProxy[] = [];
  let module: TestingModule | undefined;

  afterEach(async () => {
    await module?.close();
    await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
  });

  async function proxyFor(port: number): Promise<FaultProxy> {
    const proxy = await FaultProxy.listen(port);
    proxies.push(proxy);
    return proxy;
  }

  describe('a Cluster', () => {
    let cluster: TestCluster;
    beforeAll(async () => {
      cluster = await startCluster({ masters: 3, replicasPerMaster: 0 });
    }, 40_000);
    afterAll(() => cluster?.stop());

    it('is used through the NAT map of the environment by every connection', async () => {
      const app = uniquePrefix();
      const pairs = await Promise.all(
        cluster.nodes.map(async ({ port }) => [port, (await proxyFor(port)).port] as const),
      );
      module = await createModule({
        redis: {
          app,
          env: {
            REDIS_CLUSTER_NODES: pairs.map(([, proxy]) => `127.0.0.1:${proxy}`).join(),
            REDIS_NAT_MAP: pairs.map(([node, proxy]) => `127.0.0.1:${node}=127.0.0.1:${proxy}`).join(),
          },
        },
      });
      const registry = inject(module, ConnectionRegistry);
      const changed: string[] = [];
      const tracking = registry.tracking('default', [`${app}:`]);
      tracking.on('invalidate', (keys) => changed.push(...(keys ?? []).map(String)));
      await eventually('armed', () => tracking.isArmed);

      const keys = Array.from({ length: 60 }, (_, index) => `${app}:${index}`);
      for (const key of keys) {
        await registry.executor().run('probe.set', (redis) => redis.set(key, '1', 'PX', 60_000));
      }
      await eventually('all changes', () => changed.length === keys.length);

      const client = registry.client() as Cluster;
      expect(client).toBeInstanceOf(Cluster);
      expect(new Set(client.nodes().map(({ options }) => options.port))).toEqual(
        new Set(pairs.map(([, proxy]) => proxy)),
      );
      expect(proxies.every(({ counters }) => counters.open >= 2)).toBe(true);
    });

    it('sends commands together per node with auto-pipelining, scripts included', async () => {
      module = await createModule({ redis: { env: cluster.env, autoPipelining: true } });
      const executor = inject(module, ConnectionRegistry).executor();
      const app = uniquePrefix();
      const lua = `return redis.call('GET', KEYS[1]) .. ARGV[1] -- ${app}`;
      const { createHash } = await import('node:crypto');
      const probe = { name: 'probe', lua, sha1: createHash('sha1').update(lua).digest('hex') };

      const answers = await Promise.all(
        Array.from({ length: 200 }, async (_, index) => {
          const key = `${app}:${index}`;
          await executor.run('probe.set', (redis) => redis.set(key, index, 'PX', 60_000));
          return executor.script('probe.get', probe, [key], ['!']);
        }),
      );

      expect(answers).toEqual(answers.map((_, index) => `${index}!`));
    });
  });

  describe('Sentinels', () => {
    let set: SentinelSet;
    beforeAll(async () => {
      set = await startSentinelSet({ replicas: 1 });
    }, 40_000);
    afterAll(() => set?.stop());

    it('announce a primary that is reached through the NAT map of the options', async () => {
      const primary = set.data[0]!.port;
      const proxy = await proxyFor(primary);
      module = await createModule({
        redis: {
          sentinels: { hosts: set.sentinels.map(({ port }) => `127.0.0.1:${port}`), name: SENTINEL_NAME },
          natMap: { [`127.0.0.1:${primary}`]: { host: '127.0.0.1', port: proxy.port } },
        },
      });
      const registry = inject(module, ConnectionRegistry);
      const client: RedisClient = registry.client();

      expect(await registry.executor().run('probe.ping', (redis) => redis.ping())).toBe('PONG');
      expect((client as Redis).stream.remotePort).toBe(proxy.port);
    });
  });
});
