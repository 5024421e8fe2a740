import { Module, type DynamicModule, type INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { HealthCheckService, TerminusModule, type HealthCheckResult } from '@nestjs/terminus';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { ConnectionRegistry, DrainRegistry, RedisModule, type RedisModuleOptions } from 'rednest';
import {
  ConnectionsHealthIndicator,
  DrainHealthIndicator,
  RedisHealthIndicator,
  RedisHealthModule,
  type RedisHealthOptions,
} from 'rednest/health';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startEmbedded, startNative, type TestServer } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

interface Harness {
  app: INestApplicationContext;
  redis: RedisHealthIndicator;
  check: HealthCheckService['check'];
}

async function start(options: RedisModuleOptions, health: DynamicModule): Promise<Harness> {
  @Module({
    imports: [
      RedisModule.forRoot({ keyPrefix: uniquePrefix(), env: {}, logger: new TestLog(), ...options }),
      TerminusModule.forRoot({ logger: false }),
      health,
    ],
  })
  class TestModule {}

  const app = await NestFactory.createApplicationContext(TestModule, { logger: false, abortOnError: false });
  const service = app.get(HealthCheckService);
  return { app, redis: app.get(RedisHealthIndicator), check: service.check.bind(service) };
}

const forRoot = (options?: RedisHealthOptions) => RedisHealthModule.forRoot(options);

/** Body of the answer, whether Terminus returns it (200) or throws it (503). */
async function answer(
  check: Promise<HealthCheckResult>,
): Promise<{ httpStatus: number; body: HealthCheckResult }> {
  try {
    return { httpStatus: 200, body: await check };
  } catch (error) {
    const exception = error as { getStatus(): number; getResponse(): object };
    return { httpStatus: exception.getStatus(), body: exception.getResponse() as HealthCheckResult };
  }
}

function behaviour(startServer: () => Promise<TestServer>, version: RegExp): void {
  let server: TestServer;
  let harness: Harness;
  beforeAll(async () => {
    server = await startServer();
  });
  afterEach(() => harness.app.close());
  afterAll(() => server.stop());

  it('reports where it looked, how long it took, role and version', async () => {
    harness = await start({ url: server.url }, forRoot());

    const { httpStatus, body } = await answer(harness.check([() => harness.redis.isHealthy()]));

    expect(httpStatus).toBe(200);
    expect(body.details['redis']).toEqual({
      status: 'up',
      connection: 'default',
      host: '127.0.0.1',
      port: server.port,
      connected: true,
      latencyMs: expect.any(Number),
      role: 'master',
      serverVersion: expect.stringMatching(version),
      responseTime: expect.any(Number),
    });
  });

  it('shares a result for a quarter of a second, under any name', async () => {
    harness = await start({ url: server.url }, forRoot({ cacheFor: '1s' }));

    const [first, joined] = await Promise.all([harness.redis.isHealthy(), harness.redis.isHealthy('cache')]);
    const later = await harness.redis.isHealthy('readiness');

    expect(joined.cache['latencyMs']).toBe(first.redis['latencyMs']);
    expect(later.readiness).toMatchObject({ cachedResponse: true, latencyMs: first.redis['latencyMs'] });
  });

  it('does not mix up connections that are checked under one name', async () => {
    const connections = { other: { url: `${server.url}/1` } };
    harness = await start({ url: server.url, connections }, forRoot());

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
    harness = await start({ url: server.url }, forRoot());
    const drain = harness.app.get(DrainHealthIndicator);
    const ready = () => answer(harness.check([() => harness.redis.isHealthy(), () => drain.isHealthy()]));
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
    harness = await start({ url: server.url }, forRoot());
    const connections = harness.app.get(ConnectionsHealthIndicator);
    const registry = harness.app.get(ConnectionRegistry);
    registry.connection('default', 'subscriber');
    registry.connection('default', 'producer');
    await eventually('three connections are ready', () => connections.report().ready === 3);

    const { httpStatus, body } = await answer(harness.check([() => connections.isHealthy()]));

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

    await expect(start({ client }, forRoot({ pingTimeout: 'soon' as never }))).rejects.toThrow(
      /"pingTimeout"/,
    );
    await client.quit();
  });

  it('takes its options from a factory', async () => {
    const health = RedisHealthModule.forRootAsync({ useFactory: () => ({ cacheFor: 0 }) });
    const { app, redis } = await start({ url: server.url }, health);

    await redis.isHealthy();
    expect((await redis.isHealthy()).redis).not.toHaveProperty('cachedResponse');
    await app.close();
  });
});

describeNative('RedisHealthModule with a restricted user', () => {
  it('says which permission is missing and shows no password', async () => {
    const password = `pw-${uniquePrefix()}`;
    const server = await startNative(['--user', 'app', 'on', `>${password}`, '~*', '&*', '+@all', '-info']);
    const { app, redis, check } = await start(
      { url: server.url, username: 'app', password },
      RedisHealthModule.forRoot(),
    );

    const { httpStatus, body } = await answer(check([() => redis.isHealthy()]));

    expect(httpStatus).toBe(200);
    expect(body.details['redis']).toMatchObject({
      status: 'up',
      role: 'unknown',
      serverVersion: 'unknown',
      hint: expect.stringMatching(/NOPERM.*\+info/),
    });
    const text = JSON.stringify([body, app.get(ConnectionsHealthIndicator).report()]);
    expect(text).not.toContain(password);
    await app.close();
    await server.stop();
  });
});
