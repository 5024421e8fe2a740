import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from '@jest/globals';
import { ConnectionRegistry } from 'rednest';
import { CacheModule } from 'rednest/cache';
import type { RedisHealthOptions } from 'rednest/health';
import { QueueModule } from 'rednest/queue';
import { startCluster, type TestCluster } from '../support/cluster.js';
import { eventually } from '../support/eventually.js';
import { answerOf, startHealth, type HealthAnswer, type HealthHarness } from '../support/health.js';
import { describeNative } from '../support/needs.js';
import { startSentinelSet, type SentinelSet } from '../support/sentinel.js';
import { startNative, type NativeServer } from '../support/servers.js';
import { ask } from '../support/topologies-node.js';

/** What a check may take at most, whatever the servers do. */
const BOUND_MS = 1_000;

describeNative('RedisHealthIndicator and several servers', () => {
  let harness: HealthHarness | undefined;
  const stops: (() => Promise<void>)[] = [];

  afterEach(async () => {
    await harness?.app.close();
    harness = undefined;
    await Promise.all(stops.splice(0).map((stop) => stop()));
  });

  async function native(): Promise<NativeServer> {
    const server = await startNative();
    stops.push(() => server.stop());
    return server;
  }

  async function timed(): Promise<HealthAnswer & { tookMs: number }> {
    const { check, redis } = harness!;
    const startedMs = performance.now();
    const answer = await answerOf(check([() => redis.areHealthy('redis', { details: true })]));
    return { ...answer, tookMs: performance.now() - startedMs };
  }

  function until(
    what: string,
    holds: (answer: HealthAnswer & { tookMs: number }) => boolean,
  ): Promise<HealthAnswer & { tookMs: number }> {
    return eventually(
      what,
      async () => {
        const answer = await timed();
        expect(answer.tookMs).toBeLessThan(BOUND_MS);
        return holds(answer) && answer;
      },
      20_000,
    );
  }

  async function startTwo(options: RedisHealthOptions): Promise<[NativeServer, NativeServer]> {
    const [main, cache] = [await native(), await native()];
    harness = await startHealth({ url: main.url, connections: { cache: { url: cache.url } } }, options);
    return [main, cache];
  }

  /** Freezes the server under calls until the circuit opens. */
  async function openCircuit(server: NativeServer): Promise<void> {
    const registry = harness!.app.get(ConnectionRegistry);
    const executor = registry.executor();
    server.freeze();
    const call = () => executor.run('test.get', (client) => client.get('k'), { deadlineMs: 50 });
    await eventually('the circuit opens', async () => {
      await Promise.allSettled([call(), call(), call(), call(), call()]);
      return registry.circuits()[0]?.state === 'open';
    });
  }

  it('stays ready, degraded, without a server that is not critical; not without one that is', async () => {
    const [main, cache] = await startTwo({});
    expect(await timed()).toMatchObject({ httpStatus: 200, body: { status: 'ok' } });

    await cache.kill();
    const without = await until('the loss shows', ({ body }) => body.status !== 'ok');
    await main.kill();
    const gone = await until('503', ({ httpStatus }) => httpStatus === 503);

    expect(without.httpStatus).toBe(200);
    expect(without.body).toMatchObject({
      status: 'degraded',
      details: {
        redis: { status: 'up', critical: true },
        'redis:cache': {
          status: 'degraded',
          connection: 'cache',
          critical: false,
          connected: false,
          reasons: [expect.stringMatching(/"cache" is unavailable/)],
        },
      },
    });
    expect(gone.body.details).toMatchObject({
      redis: { status: 'down', critical: true, connected: false },
      'redis:cache': { status: 'degraded' },
    });
  });

  it('is not ready without any connection that is named critical', async () => {
    const [, cache] = await startTwo({ critical: ['default', 'cache'] });

    await cache.kill();
    const gone = await until('503', ({ httpStatus }) => httpStatus === 503);

    expect(gone.body.error).toEqual({ 'redis:cache': expect.objectContaining({ critical: true }) });
  });

  it('is ready, degraded, while only the cache has lost its server', async () => {
    const server = await native();
    harness = await startHealth({ url: server.url }, {}, [CacheModule.forRoot()]);
    expect((await timed()).body).toMatchObject({
      status: 'ok',
      details: { redis: { critical: false, capabilities: { cache: 'optional' } } },
    });

    await server.kill();
    const without = await until('the loss shows', ({ body }) => body.status !== 'ok');

    expect(without).toMatchObject({
      httpStatus: 200,
      body: { status: 'degraded', details: { redis: { status: 'degraded', connected: false } } },
    });
  });

  it('is not ready without the server of its queues, and ready when queues are said to be optional', async () => {
    const server = await native();
    const modules = () => [CacheModule.forRoot(), QueueModule.forRoot({ role: 'producer' })];
    harness = await startHealth({ url: server.url }, {}, modules());
    const lenient = await startHealth({ url: server.url }, { capabilities: { queues: false } }, modules());

    try {
      await server.kill();
      const gone = await until('503', ({ httpStatus }) => httpStatus === 503);
      const degraded = await answerOf(lenient.check([() => lenient.redis.areHealthy()]));

      expect(gone.body.error).toMatchObject({
        redis: { critical: true, capabilities: { cache: 'optional', queues: 'critical' } },
      });
      expect(degraded).toMatchObject({ httpStatus: 200, body: { status: 'degraded' } });
    } finally {
      await lenient.app.close();
    }
  });

  it('refuses the start when a capability is named that is not in use', async () => {
    const { url } = await native();

    await expect(startHealth({ url }, { capabilities: { locks: true } })).rejects.toThrow(
      /names "locks", which is not in use/,
    );
  });

  it('refuses the start when a critical connection does not exist', async () => {
    const { url } = await native();

    await expect(startHealth({ url }, { critical: ['jobs'] })).rejects.toThrow(
      /No Redis connection is named "jobs"/,
    );
  });

  it('answers at once while the circuit is open', async () => {
    const server = await native();
    harness = await startHealth({ url: server.url }, { cacheFor: 0 });
    await openCircuit(server);

    const { httpStatus, tookMs, body } = await timed();
    process.stderr.write(`readiness, circuit open: ${httpStatus} in ${tookMs.toFixed(1)} ms\n`);

    expect(httpStatus).toBe(503);
    expect(tookMs).toBeLessThan(100);
    expect(body.details['redis']).toMatchObject({
      connected: false,
      circuit: { state: 'open', openForMs: expect.any(Number) },
      message: expect.stringMatching(/circuit open|unavailable/),
    });
    server.resume();
    await until('ready again', (answer) => answer.httpStatus === 200);
  });

  it('closes the circuit of a server that answers PING with a refusal but serves reads', async () => {
    const server = await native();
    harness = await startHealth({ url: server.url }, { cacheFor: 0 });
    const [, dir] = (await ask(server.port, 'CONFIG', 'GET', 'dir')) as string[];
    mkdirSync(join(dir!, 'dump.rdb'));
    await ask(server.port, 'CONFIG', 'SET', 'save', '3600 1');
    await ask(server.port, 'BGSAVE');
    await eventually('PING is refused', async () => {
      const reply = await ask(server.port, 'PING').catch(String);
      return String(reply).includes('MISCONF');
    });
    await openCircuit(server);

    server.resume();
    const { body } = await until('it serves again', ({ httpStatus }) => httpStatus === 200);

    expect(body.details['redis']).toMatchObject({ status: 'degraded', circuit: { state: 'closed' } });
  });

  it('asks every master of a Cluster: one frozen is degraded, a failed Cluster is down', async () => {
    const cluster: TestCluster = await startCluster({ masters: 3, replicasPerMaster: 0 });
    stops.push(() => cluster.stop());
    const nodes = cluster.env['REDIS_CLUSTER_NODES']!.split(',');
    harness = await startHealth({ cluster: { nodes } }, { cacheFor: 0 });
    const well = await until('well', ({ body }) => body.status === 'ok');
    expect(well.body.details['redis']).toMatchObject({
      role: 'cluster',
      cluster: { state: 'ok', masters: 3, answering: 3, slotsOk: 16_384, silent: [] },
      servers: nodes.map(() => ({ address: expect.stringMatching(/^127\.0\.0\.1:\d+$/), role: 'master' })),
    });

    const frozen = await cluster.freezeMaster(0);
    const one = await until('one master is silent', ({ body }) => body.status === 'degraded');
    const failed = await until('the Cluster fails', ({ httpStatus }) => httpStatus === 503);
    process.stderr.write(`Cluster check, one master frozen: ${one.tookMs.toFixed(0)} ms\n`);

    expect(one.body.details['redis']).toMatchObject({
      reasons: expect.arrayContaining([`master 127.0.0.1:${frozen.port} does not answer`]),
      cluster: { answering: 2 },
    });
    expect(failed.body.details['redis']).toMatchObject({
      status: 'down',
      message: 'the Cluster is in state fail and refuses commands',
    });
    frozen.resume();
    await until('well again', ({ httpStatus }) => httpStatus === 200);
  });

  it('names the master the Sentinels chose, also after a failover', async () => {
    const set: SentinelSet = await startSentinelSet({ replicas: 1 });
    stops.push(() => set.stop());
    const hosts = set.env['REDIS_SENTINEL_HOSTS']!.split(',');
    const name = set.env['REDIS_SENTINEL_NAME']!;
    harness = await startHealth({ sentinels: { hosts, name } }, { cacheFor: 0 });
    const place = ({ body }: HealthAnswer) => body.details['redis'];
    const old = await set.master();
    expect(place(await timed())).toMatchObject({ host: '127.0.0.1', port: old.port, role: 'master' });

    await set.failover();
    const { node } = await set.promoted(old);
    const after = await until('the new master', (answer) => place(answer)?.['port'] === node.port);

    expect(place(after)).toMatchObject({ host: '127.0.0.1', status: expect.stringMatching(/up|degraded/) });
  });
});
