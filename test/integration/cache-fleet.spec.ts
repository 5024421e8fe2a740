import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Cluster, Redis } from 'ioredis';
import { Fleet, type FleetMember, type FleetOptions, type Stampede } from '../support/cache-fleet.js';
import { startCluster } from '../support/cluster.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startNative } from '../support/servers.js';

const STARTUP_MS = 60_000;

/** Time after which a process that waits looks by itself, in milliseconds; see CacheLoads. */
const LOOK_AGAIN_MS = 250;

/** A process that gets no answer in time loads alone, which is right, and not what is tested here. */
const PATIENT = { timeout: '5s' } as const;

/** Servers, and how processes and the test reach them. */
interface Place {
  readonly target: Pick<FleetOptions, 'url' | 'nodes'>;
  readonly redis: Redis | Cluster;
  stop(): Promise<void>;
}

async function startOne(): Promise<Place> {
  const server = await startNative();
  const redis = new Redis(server.url);
  redis.on('error', () => undefined);
  return { target: { url: server.url }, redis, stop: () => server.stop() };
}

async function startMasters(): Promise<Place> {
  const cluster = await startCluster({ masters: 3, replicasPerMaster: 0 });
  const nodes = cluster.nodes.map(({ port }) => `127.0.0.1:${port}`);
  const redis = new Cluster(nodes);
  redis.on('error', () => undefined);
  return { target: { nodes }, redis, stop: () => cluster.stop() };
}

describeNative('a fleet of processes with one cache', () => {
  behaviour(startOne, 10);
});
describeNative('a fleet of processes with one cache on a Cluster of 3 masters', () => {
  behaviour(startMasters, 3);
});

function behaviour(startPlace: () => Promise<Place>, rounds: number): void {
  let place: Place;
  let redis: Redis | Cluster;
  let fleet: Fleet;
  const keyPrefix = uniquePrefix();

  beforeAll(async () => {
    place = await startPlace();
    redis = place.redis;
    fleet = await Fleet.start(8, { ...place.target, keyPrefix, cache: PATIENT });
    await fleet.all('get', 'warm');
    await eventually('every memory tier is armed', async () =>
      (await Promise.all(fleet.members.map((member) => member.stats()))).every(
        ({ isCoherent }) => isCoherent,
      ),
    );
  }, STARTUP_MS);
  afterAll(async () => {
    await fleet?.stop();
    await redis?.quit();
    await place?.stop();
  });

  const loadsOf = async (key: string): Promise<number> =>
    Number((await redis.get(`${keyPrefix}:loads:{${key}}`)) ?? 0);

  it('loads once for 8 processes with 200 callers each', async () => {
    for (let round = 0; round < rounds; round += 1) {
      const key = `stampede-${round}`;

      const results = await fleet.all<Stampede>('stampede', key, 200, 50);

      expect(await loadsOf(key)).toBe(1);
      expect(results.flatMap(({ numbers }) => numbers)).toEqual(results.map(() => 1));
      const waited = results.filter(({ isOwn }) => !isOwn).map(({ delayMs }) => delayMs);
      process.stderr.write(`waiters after the load, ms: ${waited.map((ms) => ms.toFixed(1)).join(' ')}\n`);
    }
  }, 60_000);

  it.each([
    [1, 1000],
    [2, 500],
    [4, 50],
    [8, 1],
  ])('loads once for %i processes with %i callers each', async (processes, callers) => {
    const key = `stampede-of-${processes}`;
    const some = fleet.members.slice(0, processes);

    const results = await Promise.all(some.map((each) => each.call<Stampede>('stampede', key, callers, 50)));

    expect(await loadsOf(key)).toBe(1);
    expect(results.flatMap(({ numbers }) => numbers)).toEqual(some.map(() => 1));
  });

  it('wakes those who wait as soon as the load has ended', async () => {
    const delays: number[] = [];
    for (let round = 0; round < 15; round += 1) {
      const results = await fleet.all<Stampede>('stampede', `waited-${round}`, 1, 40);
      delays.push(...results.filter(({ isOwn }) => !isOwn).map(({ delayMs }) => delayMs));
    }

    const at = (share: number): number => delays.sort((a, b) => a - b)[Math.floor(delays.length * share)]!;
    process.stderr.write(
      `${delays.length} waiters had the value after p50 ${at(0.5).toFixed(1)} ms, p95 ${at(0.95).toFixed(1)} ms\n`,
    );
    // Who is not woken looks again after 250 ms.
    expect(at(0.5)).toBeLessThan(LOOK_AGAIN_MS / 5);
  });

  it('loads once although the load takes longer than its lease', async () => {
    const results = await fleet.all<Stampede>('stampede', 'slow', 20, 2500, { lease: '1s' });

    expect(await loadsOf('slow')).toBe(1);
    expect(results.flatMap(({ numbers }) => numbers)).toEqual(results.map(() => 1));
  });

  it('loads twice when the process that loads is killed', async () => {
    const extra = await Fleet.start(1, { ...place.target, keyPrefix, cache: PATIENT });
    const [victim] = extra.members as [FleetMember];
    const loading = victim.next('loading');
    const lost = victim.call('stampede', 'killed', 20, 60_000, { lease: '500ms' });
    lost.catch(() => undefined);
    await loading;
    const others = fleet.all<Stampede>('stampede', 'killed', 200, 50, { lease: '500ms' });
    await eventually('all others wait', async () => {
      const stats = await Promise.all(fleet.members.map((member) => member.stats()));
      return stats.every(({ inFlight }) => inFlight === 1);
    });

    await victim.kill();
    const results = await others;

    await expect(lost).rejects.toThrow('ended');
    expect(await loadsOf('killed')).toBe(2);
    expect(results.flatMap(({ numbers }) => numbers)).toEqual(results.map(() => 2));
  }, 30_000);

  it.each<[string, (member: FleetMember) => Promise<unknown>, unknown]>([
    ['a newer write', (member) => member.call('set', 'raced', 'newer'), 'newer'],
    ['a delete', (member) => member.call('delete', 'raced'), undefined],
    ['an invalidation of a tag', (member) => member.call('deleteByTag', 'of-raced'), undefined],
    ['a clear', (member) => member.call('clear'), undefined],
  ])('never lets a running load overwrite %s', async (_what, change, expected) => {
    const [loader, writer, reader] = fleet.members as [FleetMember, FleetMember, FleetMember];
    await writer.call('delete', 'raced');
    const loading = loader.next('loading');
    const loaded = loader.call('getOrSet', 'raced', 'older', 300, { tags: ['of-raced'] });
    await loading;

    await change(writer);
    // Who joins after the change must not get the older value, not even in the process that loads it.
    const joined = loader.call('getOrSet', 'raced', 'after', 0, { tags: ['of-raced'] });

    expect(await loaded).toBe('older');
    expect(await joined).toBe(expected ?? 'after');
    // A loaded value is written behind its caller's back, so others may miss it for a moment.
    await eventually('everybody reads the newer value', async () => {
      const after = await Promise.all([loader, writer, reader].map((each) => each.call('get', 'raced')));
      expect(after).not.toContain('older');
      return after.every((value) => value === (expected ?? 'after'));
    });
  });

  it('hears of writes, deletes and invalidations in other processes', async () => {
    const [writer, ...readers] = fleet.members as [FleetMember, ...FleetMember[]];
    const everywhere = async (value: unknown): Promise<void> => {
      const startedMs = performance.now();
      await eventually(`everybody reads ${String(value)}`, async () => {
        const seen = await Promise.all(readers.map((reader) => reader.call('get', 'shared')));
        return seen.every((each) => each === value);
      });
      process.stderr.write(`coherent after ${(performance.now() - startedMs).toFixed(1)} ms\n`);
    };

    await writer.call('set', 'shared', 1, { tags: ['t'] });
    await everywhere(1);
    await everywhere(1);
    expect(await readers[0]!.call('peek', 'shared')).toBe(1);
    await writer.call('set', 'shared', 2, { tags: ['t'] });
    await everywhere(2);
    await writer.call('deleteByTag', 't');
    await everywhere(undefined);
    await writer.call('set', 'shared', 3);
    await everywhere(3);
    await writer.call('delete', 'shared');
    await everywhere(undefined);
  });
}
