import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { ConnectionRegistry, type RedisClient, type TrackingConnection } from 'rednest';
import { createModule, inject } from '../support/app.js';
import { keysOfShard } from '../support/cluster-slots.js';
import { startCluster, type TestCluster } from '../support/cluster.js';
import { eventually } from '../support/eventually.js';
import { failure } from '../support/failure.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { ask } from '../support/topologies-node.js';

/** What a loaded machine may add. */
const MARGIN_MS = 3_000;

describeNative('TrackingConnection on a Cluster', () => {
  let cluster: TestCluster;
  let module: TestingModule;
  let tracking: TrackingConnection;
  let app: string;
  let events: string[];

  beforeAll(async () => {
    cluster = await startCluster();
  }, 40_000);
  afterAll(() => cluster?.stop());
  beforeEach(async () => {
    app = uniquePrefix();
    module = await createModule({ redis: { env: cluster.env, app } });
    events = [];
    tracking = inject(module, ConnectionRegistry).tracking('default', [`${app}:`]);
    tracking.on('armed', () => events.push('armed'));
    tracking.on('disarmed', () => events.push('disarmed'));
    tracking.on('invalidate', (keys) => events.push(keys ? keys.map(String).join('|') : 'everything'));
    await eventually('armed', () => tracking.isArmed);
  });
  afterEach(async () => {
    await module.close();
    await cluster.reform();
  }, 40_000);

  const redis = (): RedisClient => inject(module, ConnectionRegistry).client();
  const links = (): string[] =>
    inject(module, ConnectionRegistry)
      .snapshot()
      .filter(({ role }) => role === 'tracking')
      .map(({ target }) => target);

  async function keyOf(shard: number): Promise<string> {
    const candidates = Array.from({ length: 200 }, (_, index) => `${app}:k:${index}`);
    return keysOfShard(candidates, await cluster.slotsOfShard(shard))[0]!;
  }

  /** A change of a key of every shard is heard of. */
  async function expectToHearOfAll(): Promise<void> {
    for (let shard = 0; shard < 3; shard += 1) {
      const key = await keyOf(shard);
      events.length = 0;
      await eventually(
        'written',
        async () => (await failure(redis().set(key, '1', 'PX', 60_000))) === undefined,
      );
      await eventually(`a change in shard ${shard}`, () => events.includes(key));
    }
  }

  it('hears of every key from one connection per master', async () => {
    expect(events).toEqual(['everything', 'armed']);
    expect(links()).toHaveLength(3);
    expect(tracking.snapshot()).toMatchObject({ isArmed: true, arms: 1 });
    await expectToHearOfAll();
  });

  it('stays armed while slots move between masters, and hears of the keys that moved', async () => {
    const key = await keyOf(0);
    await redis().set(key, '1', 'PX', 60_000);

    await cluster.reshard(0, 1, 1000);
    events.length = 0;
    await expectToHearOfAll();
    await redis().set(key, '2', 'PX', 60_000);
    await eventually('the moved key', () => events.includes(key));

    expect(events).not.toContain('disarmed');
    expect(tracking.snapshot()).toMatchObject({ arms: 1 });
  }, 60_000);

  it.each(['killed', 'frozen'] as const)(
    'disarms when a master is %s, and arms at its heir',
    async (how) => {
      const faultMs = performance.now();
      const old = await (how === 'killed' ? cluster.killMaster(0) : cluster.freezeMaster(0));
      await eventually('disarmed', () => events.includes('disarmed'));
      const noticedMs = performance.now() - faultMs;
      const { atMs } = await cluster.promoted(old);
      await eventually('armed again', () => tracking.isArmed, 20_000);
      const backMs = performance.now() - atMs;

      print(`tracking, master ${how}`, { noticedMs, armedAfterPromotionMs: backMs });
      expect(events.slice(2)).toEqual(['disarmed', 'everything', 'armed']);
      expect(noticedMs).toBeLessThan((how === 'killed' ? 200 : 2000) + MARGIN_MS);
      expect(backMs).toBeLessThan(2500 + MARGIN_MS);
      expect(links()).toHaveLength(3);
      expect(links().some((target) => target.includes(String(old.port)))).toBe(false);
      await expectToHearOfAll();
    },
    60_000,
  );

  it('moves to the heir after a failover by hand, when the old master still answers', async () => {
    const old = await cluster.master(0);
    const faultMs = performance.now();
    await ask(await replicaPortOf(old.port), 'CLUSTER', 'FAILOVER');
    const { atMs } = await cluster.promoted(old);
    await eventually('armed elsewhere', () => events.slice(2).includes('armed'), 20_000);

    print('tracking, failover by hand', {
      promotedMs: atMs - faultMs,
      movedMs: performance.now() - faultMs,
    });
    expect(events.slice(2)).toEqual(['disarmed', 'everything', 'armed']);
    expect(performance.now() - atMs).toBeLessThan(2500 + MARGIN_MS);
    expect(links().some((target) => target.includes(String(old.port)))).toBe(false);
    await expectToHearOfAll();
  }, 60_000);

  async function replicaPortOf(port: number): Promise<number> {
    const lines = String(await ask(port, 'CLUSTER', 'NODES')).split('\n');
    const id = lines.find((line) => line.includes('myself'))!.split(' ')[0]!;
    const replica = lines.find((line) => line.split(' ')[3] === id)!;
    return Number(/:(\d+)/.exec(replica)![1]);
  }
});

function print(what: string, figures: Record<string, number>): void {
  const text = Object.entries(figures).map(([name, value]) => `${name} ${Math.round(value)}`);
  process.stderr.write(`${what}: ${text.join(', ')}\n`);
}
