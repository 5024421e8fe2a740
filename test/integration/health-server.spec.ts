import { mkdirSync, rmdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, it } from '@jest/globals';
import { ConnectionRegistry, REDIS, type RedisClient } from 'rednest';
import type { ObservedServer, RedisHealthOptions } from 'rednest/health';
import { eventually } from '../support/eventually.js';
import { answerOf, startHealth, type HealthAnswer, type HealthHarness } from '../support/health.js';
import { describeNative } from '../support/needs.js';
import { startNative, type NativeServer } from '../support/servers.js';
import { ask, infoField } from '../support/topologies-node.js';

/** Every check asks the server anew. */
const FRESH: RedisHealthOptions = { cacheFor: 0, factsFor: 0 };

describeNative('RedisHealthIndicator and a server that is not well', () => {
  const servers: NativeServer[] = [];
  let harness: HealthHarness | undefined;

  afterEach(async () => {
    await harness?.app.close();
    harness = undefined;
    await Promise.all(servers.splice(0).map((server) => server.stop()));
  });

  async function native(...args: string[]): Promise<NativeServer> {
    const server = await startNative(args);
    servers.push(server);
    return server;
  }

  async function open(url: string, options: RedisHealthOptions = {}): Promise<HealthHarness> {
    harness = await startHealth({ url }, { ...FRESH, ...options });
    return harness;
  }

  function ready(connection = 'default'): Promise<HealthAnswer> {
    const { check, redis } = harness!;
    return answerOf(check([() => redis.isHealthy('redis', { connection, details: true })]));
  }

  async function degraded(reason: RegExp): Promise<HealthAnswer> {
    return eventually(`degraded: ${reason.source}`, async () => {
      const answer = await ready();
      const reasons = (answer.body.details['redis']?.['reasons'] ?? []) as string[];
      return answer.body.status === 'degraded' && reasons.some((text) => reason.test(text)) && answer;
    });
  }

  it('is degraded when keys are evicted, and answers 200', async () => {
    const server = await native('--maxmemory', '3mb', '--maxmemory-policy', 'allkeys-lru');
    const { app } = await open(server.url);
    const redis = app.get<RedisClient>(REDIS);
    expect((await ready()).body.status).toBe('ok');

    for (let i = 0; i < 400; i += 1) await redis.set(`k${i}`, 'x'.repeat(10_000));
    const { httpStatus, body } = await degraded(/^\d+ keys were evicted in \d+ s \(allkeys-lru\)/);

    const { memory, recent } = body.details['redis']!['server'] as ObservedServer;
    expect(httpStatus).toBe(200);
    expect(body.details['redis']?.['connected']).toBe(true);
    expect(memory).toMatchObject({ policy: 'allkeys-lru', maxBytes: 3 * 1024 * 1024 });
    expect(memory.evictedKeys).toBeGreaterThan(0);
    expect(recent.evictedKeys).toBe(memory.evictedKeys);
  });

  it('takes evictions for granted on a connection that is not critical', async () => {
    const main = await native();
    const cache = await native('--maxmemory', '3mb', '--maxmemory-policy', 'allkeys-lru');
    harness = await startHealth({ url: main.url, connections: { cache: { url: cache.url } } }, FRESH);
    await ready('cache');

    const redis = harness.app.get(ConnectionRegistry).client('cache');
    for (let i = 0; i < 400; i += 1) await redis.set(`k${i}`, 'x'.repeat(10_000));
    const { body } = await ready('cache');

    const { recent } = body.details['redis']!['server'] as { recent: { evictedKeys: number } };
    expect(recent.evictedKeys).toBeGreaterThan(0);
    expect(body.details['redis']).toMatchObject({ status: 'up', critical: false });
  });

  it('is degraded when memory is nearly full and nothing is evicted', async () => {
    const server = await native();
    await open(server.url);
    expect((await ready()).body.status).toBe('ok');

    const used = Number(await infoField(server.port, 'memory', 'used_memory'));
    await ask(server.port, 'CONFIG', 'SET', 'maxmemory', used + 50_000);
    const { httpStatus } = await degraded(/^\d+ % of maxmemory is used and nothing is evicted/);

    expect(httpStatus).toBe(200);
  });

  it('is degraded when a snapshot failed, also when the server refuses writes over it', async () => {
    const server = await native();
    await open(server.url);
    const [, dir] = (await ask(server.port, 'CONFIG', 'GET', 'dir')) as string[];
    // A folder in the place of the file: renaming the snapshot fails for root as well.
    mkdirSync(join(dir!, 'dump.rdb'));
    await ask(server.port, 'BGSAVE');
    const failed = await degraded(/^the last snapshot \(RDB\) failed/);

    await ask(server.port, 'CONFIG', 'SET', 'save', '3600 1');
    const refusing = await degraded(/^the server refuses writes because it cannot save its data \(MISCONF\)/);

    expect(await ask(server.port, 'PING').catch(String)).toMatch(/MISCONF/);
    expect([failed.httpStatus, refusing.httpStatus]).toEqual([200, 200]);
    expect(refusing.body.details['redis']).toMatchObject({
      connected: true,
      server: { persistence: { rdb: 'error' } },
    });

    rmdirSync(join(dir!, 'dump.rdb'));
    await ask(server.port, 'BGSAVE');
    await eventually('well again', async () => (await ready()).body.status === 'ok');
  });

  it('is degraded when the append-only file cannot be rewritten', async () => {
    const server = await native('--appendonly', 'yes');
    await open(server.url);
    expect((await ready()).body.details['redis']).toMatchObject({ server: { persistence: { aof: 'ok' } } });
    const [, dir] = (await ask(server.port, 'CONFIG', 'GET', 'dir')) as string[];
    // The next base file cannot take its name.
    for (const suffix of ['rdb', 'aof']) {
      mkdirSync(join(dir!, 'appendonlydir', `appendonly.aof.2.base.${suffix}`));
    }

    await ask(server.port, 'BGREWRITEAOF');
    const { body } = await degraded(/^the append-only file could not be written or rewritten/);

    expect(body.details['redis']).toMatchObject({ server: { persistence: { aof: 'error' } } });
  });

  it('is degraded when connections were refused and most of maxclients is in use', async () => {
    const server = await native('--maxclients', '5');
    await open(server.url);
    expect((await ready()).body.status).toBe('ok');

    const sockets = Array.from({ length: 8 }, () => connect(server.port, '127.0.0.1'));
    for (const socket of sockets) socket.on('error', () => undefined);
    const { httpStatus, body } = await degraded(/^\d+ connections were refused in \d+ s \(maxclients 5\)/);

    expect(httpStatus).toBe(200);
    expect(body.details['redis']?.['reasons']).toContainEqual('5 of 5 client connections are in use');
    await Promise.all(sockets.map(closed));
  });

  it('is degraded on a replica, more so when its master is gone', async () => {
    const [master, replica] = [await native(), await native()];
    // The start would refuse a replica; a server can become one later.
    await open(replica.url);
    await ask(replica.port, 'REPLICAOF', '127.0.0.1', master.port);
    await eventually(
      'the link is up',
      async () => (await infoField(replica.port, 'replication', 'master_link_status')) === 'up',
    );

    const inStep = await degraded(
      /^the server is a read-only replica of 127\.0\.0\.1:\d+: writes are refused$/,
    );
    expect(inStep.body.details['redis']).toMatchObject({
      role: 'replica',
      reasons: [expect.stringContaining(`127.0.0.1:${master.port}`)],
      server: { replication: { masterLink: 'up', readOnly: true, lagMs: expect.any(Number), lagBytes: 0 } },
    });

    await master.kill();
    const alone = await degraded(/^the link to its master 127\.0\.0\.1:\d+ has been down for \d+ s/);
    expect(alone.httpStatus).toBe(200);
  });

  it('is degraded on a master whose replica falls silent or is missing', async () => {
    const [master, replica] = [await native(), await native()];
    await open(master.url, { thresholds: { minReplicas: 1, replicationLag: '1s' } });
    await degraded(/^0 of 1 replicas are in step/);

    await ask(replica.port, 'REPLICAOF', '127.0.0.1', master.port);
    await eventually('the replica is in step', async () => (await ready()).body.status === 'ok', 20_000);
    expect((await ready()).body.details['redis']).toMatchObject({
      server: { replication: { replicas: 1, lagBytes: expect.any(Number) } },
    });

    replica.freeze();
    await degraded(/^its slowest replica has confirmed nothing for \d+ s$/);
    replica.resume();
    await eventually('the replica catches up', async () => (await ready()).body.status === 'ok');
  });

  it('notices that another server process answers', async () => {
    const server = await native();
    await open(server.url);
    expect((await ready()).body.details['redis']?.['server']).not.toHaveProperty('changedMsAgo');

    await server.restart();
    const { body } = await eventually('ready again', async () => {
      const answer = await ready();
      return answer.body.status === 'ok' && answer;
    });

    expect(body.details['redis']?.['server']).toMatchObject({ changedMsAgo: expect.any(Number) });
  });

  it('asks for INFO once in 5 s, however often it is asked itself', async () => {
    const server = await native();
    await open(server.url, { factsFor: '5s' });
    await ask(server.port, 'CONFIG', 'RESETSTAT');

    for (let i = 0; i < 50; i += 1) await ready();

    const stats = String(await ask(server.port, 'INFO', 'commandstats'));
    expect(/cmdstat_ping:calls=(\d+)/.exec(stats)?.[1]).toBe('50');
    expect(/cmdstat_info:calls=(\d+)/.exec(stats)?.[1]).toBe('1');
  });

  it('stays connected when the user may no longer run PING and INFO, and says so', async () => {
    const server = await native('--user', 'app', 'on', '>pw-canary', '~*', '&*', '+@all');
    const url = server.url.replace('//', '//app:pw-canary@');
    await open(url);
    await ask(server.port, 'ACL', 'SETUSER', 'app', '-ping', '-info');

    const { httpStatus, body } = await degraded(/may not run PING; grant it \+ping/);

    expect(httpStatus).toBe(200);
    expect(body.details['redis']).toMatchObject({
      connected: true,
      role: 'master',
      hint: expect.stringMatching(/\+info/),
    });
    expect(JSON.stringify(body)).not.toContain('pw-canary');
  });
});

async function closed(socket: Socket): Promise<void> {
  socket.destroy();
  await eventually('the socket is closed', () => socket.closed);
}
