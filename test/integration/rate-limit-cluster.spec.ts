import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { Cluster } from 'ioredis';
import { slotOf } from 'rednest';
import { RateLimiter, RateLimitModule, type Policy } from 'rednest/rate-limit';
import { createModule, inject } from '../support/app.js';
import { startCluster, type TestCluster } from '../support/cluster.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';

const IP: Policy = { name: 'ip', limit: 10, window: '1h' };
const TENANT: Policy = { name: 'tenant', limit: 3, window: '1h', algorithm: 'gcra' };
const DAY: Policy = { name: 'day', limit: 100, window: '1d', algorithm: 'sliding-log', block: { for: '1h' } };

describeNative('RateLimiter on a Cluster', () => {
  const prefix = uniquePrefix();
  let cluster: TestCluster;
  let module: TestingModule;
  let limiter: RateLimiter;

  beforeAll(async () => {
    cluster = await startCluster({ replicasPerMaster: 0 });
    module = await createModule({
      redis: { env: cluster.env, keyPrefix: prefix },
      imports: [RateLimitModule.forRoot({ timeout: '5s', onError: 'closed' })],
    });
    limiter = inject(module, RateLimiter);
  }, 60_000);

  afterAll(async () => {
    await module?.close();
    await cluster?.stop();
  });

  /** Two identities that live on different masters. */
  const apart = (): [string, string] => {
    const shard = (id: string): number => Math.floor(slotOf(`${prefix}:rl:{${id}}`) / (16_384 / 3));
    const first = uniquePrefix();
    let second = uniquePrefix();
    while (shard(second) === shard(first)) second = uniquePrefix();
    return [first, second];
  };

  it('takes all policies of one identity in one script', async () => {
    const decision = await limiter.consume('one', [IP, TENANT, DAY], { cost: 3 });
    const refused = await limiter.consume('one', [IP, TENANT, DAY]);

    expect(decision).toMatchObject({ allowed: true, source: 'redis' });
    expect(refused).toMatchObject({ allowed: false, violated: ['tenant'] });
    expect(refused.policies.map(({ remaining }) => remaining)).toEqual([7, 0, 97]);
    await limiter.reset('one', [IP, TENANT, DAY]);
    expect((await limiter.peek('one', DAY)).policies[0]!.remaining).toBe(100);
  });

  it('gives back what the earlier identities took when a later one refuses', async () => {
    const [ip, tenant] = apart();
    const demands = [
      { id: ip, policies: IP },
      { id: tenant, policies: TENANT },
    ];
    for (let call = 0; call < 3; call += 1) expect((await limiter.consumeAll(demands)).allowed).toBe(true);

    const refused = await limiter.consumeAll(demands);

    expect(refused).toMatchObject({ allowed: false, violated: ['tenant'], source: 'redis' });
    expect(refused.receipt).toBeUndefined();
    expect((await limiter.peek(ip, IP)).policies[0]!.remaining).toBe(7);
  });

  it('refunds an allowed call of several identities everywhere', async () => {
    const [ip, tenant] = apart();
    const { receipt } = await limiter.consumeAll([
      { id: ip, policies: IP, cost: 3 },
      { id: tenant, policies: TENANT, cost: 2 },
    ]);

    expect(await limiter.refund(receipt!)).toBe(true);
    expect((await limiter.peek(ip, IP)).policies[0]!.remaining).toBe(10);
    expect((await limiter.peek(tenant, TENANT)).policies[0]!.remaining).toBe(3);
  });

  it('refuses with a client of the application, on which nobody can listen', async () => {
    const client = new Cluster(cluster.nodes.map(({ port }) => ({ host: '127.0.0.1', port })));
    const app = await createModule({
      redis: { client, keyPrefix: prefix },
      imports: [RateLimitModule.forRoot({ timeout: '5s', onError: 'closed' })],
    });
    try {
      const own = inject(app, RateLimiter);
      const policy: Policy = { name: 'own', limit: 1, window: '1h' };
      const decisions = [await own.consume('own', policy), await own.consume('own', policy)];

      expect(decisions.map(({ allowed, source }) => [allowed, source])).toEqual([
        [true, 'redis'],
        [false, 'redis'],
      ]);
    } finally {
      await app.close();
      client.disconnect();
    }
  });

  it('leases slots and waits for them', async () => {
    const policy = { name: 'slots', limit: 1 } as const;
    const slot = await limiter.concurrency('jobs', policy);
    const waiting = limiter.concurrency('jobs', policy, { maxWait: '20s' });
    await slot.release();

    await (await waiting).release();
  }, 40_000);
});
