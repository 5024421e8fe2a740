import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { ConnectionRegistry, DrainRegistry } from 'rednest';
import { ConnectionsHealthIndicator, DrainHealthIndicator, RedisHealthModule } from 'rednest/health';
import { eventually } from '../support/eventually.js';
import { answerOf, startHealth, type HealthHarness } from '../support/health.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startEmbedded, startNative, type TestServer } from '../support/servers.js';

function behaviour(startServer: () => Promise<TestServer>, version: RegExp): void {
  let server: TestServer;
  let harness: HealthHarness;
  beforeAll(async () => {
    server = await startServer();
  });
  afterEach(() => harness.app.close());
  afterAll(() => server.stop());

  it('reports where it looked, how long it took, role and version', async () => {
    harness = await startHealth({ url: server.url });

    const { httpStatus, body } = await answerOf(harness.check([() => harness.redis.isHealthy()]));

    expect(httpStatus).toBe(200);
    expect(body.details['redis']).toEqual({
      status: 'up',
      connection: 'default',
      host: '127.0.0.1',
      port: server.port,
      critical: true,
      connected: true,
      latencyMs: expect.any(Number),
      role: 'master',
      serverVersion: expect.stringMatching(version),
      responseTime: expect.any(Number),
    });
  });

  it('shows what the server says about itself when asked for details, and nothing is wrong with it', async () => {
    harness = await startHealth({ url: server.url });

    const { redis } = await harness.redis.isHealthy('redis', { details: true });

    expect(redis).toMatchObject({
      status: 'up',
      circuit: { state: 'closed', openForMs: 0 },
      server: {
        role: 'master',
        runId: expect.stringMatching(/^[0-9a-f]{40}$/),
        uptimeMs: expect.any(Number),
        loading: false,
        replication: { replicas: 0 },
        memory: { usedBytes: expect.any(Number), policy: 'noeviction', evictedKeys: 0 },
        persistence: { rdb: 'ok', aof: 'off', unsavedChanges: expect.any(Number) },
        clients: { connected: expect.any(Number), max: expect.any(Number), rejected: 0 },
        recent: { evictedKeys: 0, rejectedConnections: 0 },
      },
    });
    expect(redis).not.toHaveProperty('reasons');
  });

  it('shares a result for a quarter of a second, under any name', async () => {
    harness = await startHealth({ url: server.url }, { cacheFor: '1s' });

    const [first, joined] = await Promise.all([harness.redis.isHealthy(), harness.redis.isHealthy('cache')]);
    const later = await harness.redis.isHealthy('readiness');

    expect(joined.cache['latencyMs']).toBe(first.redis['latencyMs']);
    expect(later.readiness).toMatchObject({ cachedResponse: true, latencyMs: first.redis['latencyMs'] });
  });

  it('does not mix up connections that are checked under one name', async () => {
    const connections = { other: { url: `${server.url}/1` } };
    harness = await startHealth({ url: server.url, connections });

    const results = await Promise.all([
      harness.redis.isHealthy(),
      harness.redis.isHealthy('redis', { connection: 'other' }),
    ]);

    expect(results.map(({ redis }) => redis['connection'])).toEqual(['default', 'other']);
    await expect(harness.redis.isHealthy('redis', { connection: 'none' })).rejects.toMatchObject({
      code: 'ERR_CONFIGURATION',
    });
  });

  it('is not ready from the moment the drain begins', async () => {
    harness = await startHealth({ url: server.url });
    const drain = harness.app.get(DrainHealthIndicator);
    const ready = () => answerOf(harness.check([() => harness.redis.isHealthy(), () => drain.isHealthy()]));
    let finish!: () => void;
    const work = new Promise<void>((resolve) => (finish = resolve));
    harness.app.get(DrainRegistry).register({ name: 'work', drain: () => work });

    expect((await ready()).httpStatus).toBe(200);
    const drained = harness.app.get(DrainRegistry).begin();
    const { httpStatus, body } = await ready();

    expect(httpStatus).toBe(503);
    expect(body.error).toEqual({ shutdown: expect.objectContaining({ status: 'down', state: 'draining' }) });
    finish();
    await drained;
    expect((await ready()).body.error).toEqual({ shutdown: expect.objectContaining({ state: 'drained' }) });
  });

  it('counts connections by role', async () => {
    harness = await startHealth({ url: server.url });
    const connections = harness.app.get(ConnectionsHealthIndicator);
    const registry = harness.app.get(ConnectionRegistry);
    registry.connection('default', 'subscriber');
    registry.connection('default', 'producer');
    await eventually('three connections are ready', () => connections.report().ready === 3);

    const { httpStatus, body } = await answerOf(harness.check([() => connections.isHealthy()]));

    const one = { open: 1, ready: 1 };
    expect(httpStatus).toBe(200);
    expect(body.details['connections']).toMatchObject({
      status: 'up',
      open: 3,
      ready: 3,
      roles: { command: one, subscriber: one, producer: one },
    });
    expect(connections.report().connections).toContainEqual(
      expect.objectContaining({ connection: 'default', role: 'subscriber', state: 'ready' }),
    );
  });

  it('is degraded when more connections to a server are open than the budget allows', async () => {
    harness = await startHealth({ url: server.url }, { connectionBudget: 1 });
    const connections = harness.app.get(ConnectionsHealthIndicator);
    expect(connections.isHealthy().connections).toMatchObject({ status: 'up', budget: 1 });

    harness.app.get(ConnectionRegistry).connection('default', 'producer');
    await eventually('two connections are ready', () => connections.report().ready === 2);
    const { httpStatus, body } = await answerOf(harness.check([() => connections.isHealthy()]));

    expect(httpStatus).toBe(200);
    expect(body.details['connections']).toMatchObject({
      status: 'degraded',
      reasons: ['2 connections to "default" are open, more than the budget of 1'],
      circuits: [{ connection: 'default', state: 'closed', openForMs: 0 }],
    });
  });
}

describe('RedisHealthModule on the embedded server', () => {
  behaviour(startEmbedded, /^9\./);
});
describeNative('RedisHealthModule on redis-server', () => {
  behaviour(startNative, /^\d+\.\d+\.\d+$/);
});

describe('RedisHealthModule', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startEmbedded();
  });
  afterAll(() => server.stop());

  it('ends the start when its options cannot be used', async () => {
    const client = new Redis(server.url);
    client.on('error', () => undefined);
    await client.ping();

    await expect(startHealth({ client }, { pingTimeout: 'soon' as never })).rejects.toThrow(/"pingTimeout"/);
    await client.quit();
  });

  it('takes its options from a factory', async () => {
    const health = RedisHealthModule.forRootAsync({ useFactory: () => ({ cacheFor: 0 }) });
    const { app, redis } = await startHealth({ url: server.url }, health);

    await redis.isHealthy();
    expect((await redis.isHealthy()).redis).not.toHaveProperty('cachedResponse');
    await app.close();
  });
});

describeNative('RedisHealthModule with a restricted user', () => {
  it('says which permission is missing and shows no password', async () => {
    const password = `pw-${uniquePrefix()}`;
    const server = await startNative(['--user', 'app', 'on', `>${password}`, '~*', '&*', '+@all', '-info']);
    const { app, redis, check } = await startHealth({ url: server.url, username: 'app', password }, {});

    const { httpStatus, body } = await answerOf(check([() => redis.isHealthy()]));

    expect(httpStatus).toBe(200);
    expect(body.details['redis']).toMatchObject({
      status: 'up',
      role: 'master',
      serverVersion: expect.stringMatching(/^\d+\.\d+/),
      hint: expect.stringMatching(/NOPERM.*\+info/),
    });
    const text = JSON.stringify([body, app.get(ConnectionsHealthIndicator).report()]);
    expect(text).not.toContain(password);
    await app.close();
    await server.stop();
  });
});
