import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import {
  ConnectionRegistry,
  CrossSlotError,
  REDIS,
  RedisCallError,
  RedisOperations,
  slotOf,
  type RedisClient,
} from 'rednest';
import { createModule, inject } from '../support/app.js';
import { startCluster, type TestCluster } from '../support/cluster.js';
import { keysOfShard } from '../support/cluster-slots.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { ask } from '../support/topologies-node.js';

describeNative('RedisOperations on a Cluster', () => {
  let cluster: TestCluster;
  let module: TestingModule;
  let operations: RedisOperations;
  let redis: RedisClient;
  beforeAll(async () => {
    cluster = await startCluster({ replicasPerMaster: 0 });
  }, 40_000);
  beforeEach(async () => {
    module = await createModule({ redis: { env: cluster.env } });
    operations = inject(module, RedisOperations);
    redis = inject<RedisClient>(module, REDIS);
  });
  afterEach(() => module.close());
  afterAll(() => cluster?.stop());

  const spread = (prefix: string, count: number) =>
    Array.from({ length: count }, (_, index) => `${prefix}:${index}`);

  it('computes the slot the server computes', async () => {
    for (const key of ['a', '{tag}:b', 'x{}y', 'ключ', '{a{b}c']) {
      expect(slotOf(key)).toBe(await redis.cluster('KEYSLOT', key));
    }
  });

  it('visits the keys of all masters and removes them slot by slot', async () => {
    const prefix = uniquePrefix();
    const keys = spread(prefix, 400);
    await Promise.all(keys.map((key) => redis.set(key, '1')));

    const seen: string[] = [];
    for await (const key of operations.scan({ match: `${prefix}:*` })) seen.push(key);

    expect(seen.sort()).toEqual([...keys].sort());
    expect(await operations.unlinkByPattern(`${prefix}:*`, { limit: 150, batch: 64 })).toBe(150);
    expect(await operations.unlinkByPattern(`${prefix}:*`)).toBe(250);
  });

  it('says before sending which keys are in another slot', async () => {
    const prefix = uniquePrefix();
    const [one, two] = [`${prefix}:{canary-1}`, `${prefix}:{canary-2}`];
    const calls = [
      () => operations.optimistic('probe', [one, two], async () => undefined),
      () => operations.multi('probe', (queue) => [queue.set(one, '1'), queue.set(two, '1')]),
      () => operations.pipeline('probe', (queue) => [queue.mset({ [one]: '1', [two]: '1' })]),
    ];

    for (const call of calls) {
      const error = await call().catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(CrossSlotError);
      expect(error).toMatchObject({ code: 'ERR_REDIS_CROSS_SLOT', outcome: 'not-sent' });
      expect(String(error)).not.toContain('canary');
    }
    expect([await redis.get(one), await redis.get(two)]).toEqual([null, null]);
  });

  it('runs batches whose keys share a tag', async () => {
    const key = `${uniquePrefix()}:{tag}`;

    expect(
      await operations.multi('probe', (queue) => [
        queue.set(key, '1'),
        queue.incr(`${key}:n`),
        queue.get(key),
      ]),
    ).toEqual(['OK', 1, '1']);
    expect(await operations.pipeline('probe', (queue) => [queue.get(key), queue.incr(`${key}:n`)])).toEqual([
      '1',
      2,
    ]);
  });

  it('loses none of the increments while their slots move to another master', async () => {
    const names = spread(uniquePrefix(), 60);
    const keys = keysOfShard(names, (await cluster.slotsOfShard(0)).slice(0, 3000));
    const counts = new Map(keys.map((key) => [key, { certain: 0, unknown: 0 }]));
    const outcomes = new Map<string, number>();
    const load = { isRunning: true };
    const work = keys.map(async (key) => {
      const count = counts.get(key)!;
      while (load.isRunning) {
        await operations
          .optimistic('probe', [key], async (client) => {
            const value = Number(await client.get(key));
            return (queue) => [queue.set(key, String(value + 1))];
          })
          .then(
            () => (count.certain += 1),
            (error: RedisCallError) => {
              outcomes.set(error.code, (outcomes.get(error.code) ?? 0) + 1);
              if (error.outcome === 'unknown') count.unknown += 1;
            },
          );
      }
    });

    await cluster.reshard(0, 1, 3000);
    load.isRunning = false;
    await Promise.all(work);

    let total = 0;
    for (const [key, { certain, unknown }] of counts) {
      const value = Number(await redis.get(key));
      total += certain;
      expect(value).toBeGreaterThanOrEqual(certain);
      expect(value).toBeLessThanOrEqual(certain + unknown);
    }
    process.stdout.write(`${total} increments on ${keys.length} keys; ${JSON.stringify([...outcomes])}\n`);
    expect(total).toBeGreaterThan(keys.length);
  }, 30_000);

  it('logs in anew on every node when the credentials rotate', async () => {
    const [first, second] = [uniquePrefix(), uniquePrefix()];
    for (const user of [first, second]) {
      for (const { port } of cluster.nodes) {
        await ask(port, 'ACL', 'SETUSER', user, 'on', '~*', '&*', '+@all', `>${user}-pw`);
      }
    }
    let user = first;
    const expiresAt = Date.now() + 1500;
    const other = await createModule({
      redis: {
        env: cluster.env,
        credentials: async () => ({
          username: user,
          password: `${user}-pw`,
          ...(user === first ? { expiresAt } : {}),
        }),
      },
    });
    const registry = inject(other, ConnectionRegistry);
    const keys = spread(uniquePrefix(), 30);
    const setAll = () =>
      Promise.all(keys.map((key) => registry.executor().run('probe', (client) => client.set(key, '1'))));
    await setAll();

    user = second;
    await eventually('sessions of the new user on every node', async () => {
      const lists = await Promise.all(cluster.nodes.map(({ port }) => ask(port, 'CLIENT', 'LIST')));
      return lists.every((list) => String(list).includes(`user=${second}`));
    });
    for (const { port } of cluster.nodes) await ask(port, 'ACL', 'DELUSER', first);
    await setAll();
    for (const { port } of cluster.nodes) await ask(port, 'CLIENT', 'KILL', 'USER', second);
    await eventually('writes on new connections', () =>
      setAll().then(
        () => true,
        () => false,
      ),
    );

    await other.close();
  }, 20_000);
});
