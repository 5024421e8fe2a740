import { Controller, Get, Module, type INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { HealthCheck, HealthCheckService, TerminusModule } from '@nestjs/terminus';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { RedisModule } from 'rednest';
import {
  ConnectionsHealthIndicator,
  DrainHealthIndicator,
  RedisHealthIndicator,
  RedisHealthModule,
} from 'rednest/health';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startNative, type NativeServer } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

/** What readiness may take at most, whatever the server does. */
const BOUND_MS = 1_000;

@Controller('health')
class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly redis: RedisHealthIndicator,
    private readonly drain: DrainHealthIndicator,
    private readonly connections: ConnectionsHealthIndicator,
  ) {}

  @Get('live')
  @HealthCheck()
  live(): unknown {
    return this.health.check([]);
  }

  @Get('ready')
  @HealthCheck()
  ready(): unknown {
    return this.health.check([() => this.drain.isHealthy(), () => this.redis.isHealthy()]);
  }

  @Get('connections')
  @HealthCheck()
  list(): unknown {
    return this.health.check([() => this.connections.isHealthy()]);
  }
}

interface Answer {
  httpStatus: number;
  tookMs: number;
  body: { status: string; details: Record<string, Record<string, unknown>> };
}

describeNative('RedisHealthModule without its server', () => {
  let server: NativeServer;
  let app: INestApplication;

  beforeEach(async () => {
    server = await startNative();

    @Module({
      imports: [
        RedisModule.forRoot({ url: server.url, keyPrefix: uniquePrefix(), env: {}, logger: new TestLog() }),
        TerminusModule.forRoot({ logger: false }),
        RedisHealthModule.forRoot(),
      ],
      controllers: [HealthController],
    })
    class TestModule {}

    app = await NestFactory.create(TestModule, { logger: false });
    await app.listen(0, '127.0.0.1');
  });
  afterEach(async () => {
    await app.close();
    await server.stop();
  });

  async function ask(path: string): Promise<Answer> {
    const { port } = app.getHttpServer().address() as { port: number };
    const startedMs = performance.now();
    const response = await fetch(`http://127.0.0.1:${port}/health/${path}`, {
      headers: { connection: 'close' },
    });
    const body = (await response.json()) as Answer['body'];
    return { httpStatus: response.status, tookMs: Math.round(performance.now() - startedMs), body };
  }

  function note(label: string, { httpStatus, tookMs, body }: Answer): void {
    process.stderr.write(
      `${label}: ${httpStatus} in ${tookMs} ms, ${String(body.details['redis']?.['message'])}\n`,
    );
  }

  it('is ready, live and able to list its connections while the server is there', async () => {
    const [ready, live, connections] = await Promise.all([ask('ready'), ask('live'), ask('connections')]);

    expect([ready.httpStatus, live.httpStatus, connections.httpStatus]).toEqual([200, 200, 200]);
    expect(ready.body.details['redis']).toMatchObject({ status: 'up', connected: true });
  });

  it('answers 503 within its deadline while the server is frozen, once for all who ask', async () => {
    server.freeze();

    const frozen = await eventually('a probe sees the frozen server', async () => {
      const answer = await ask('ready');
      return answer.httpStatus === 503 && answer;
    });
    const together = await Promise.all([ask('ready'), ask('ready'), ask('ready'), ask('ready')]);
    const live = await ask('live');
    note('readiness, server frozen', frozen);
    note('readiness, asked by four at once', together[3]);

    expect(frozen.tookMs).toBeLessThan(BOUND_MS);
    expect(frozen.body.details['redis']).toMatchObject({
      status: 'down',
      connection: 'default',
      port: server.port,
      connected: false,
      message: 'health.ping: no answer from Redis "default" within 500 ms',
    });
    expect(together.map(({ httpStatus }) => httpStatus)).toEqual([503, 503, 503, 503]);
    expect(Math.max(...together.map(({ tookMs }) => tookMs))).toBeLessThan(BOUND_MS);
    expect(live.httpStatus).toBe(200);
    server.resume();
    await eventually('readiness returns', async () => (await ask('ready')).httpStatus === 200);
  });

  it('stays within its deadline for as long as the server is frozen', async () => {
    server.freeze();
    const endMs = performance.now() + 3_000;
    let slowestMs = 0;

    while (performance.now() < endMs) {
      const { tookMs } = await ask('ready');
      slowestMs = Math.max(slowestMs, tookMs);
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    process.stderr.write(`slowest readiness answer in 3 s of frozen server: ${slowestMs} ms\n`);

    expect(slowestMs).toBeLessThan(BOUND_MS);
    server.resume();
  });

  it('answers 503 at once while the server is gone, and 200 when it is back', async () => {
    await server.kill();
    const gone = await eventually('a probe sees that the server is gone', async () => {
      const answer = await ask('ready');
      return answer.httpStatus === 503 && answer;
    });
    const live = await ask('live');
    const connections = await ask('connections');
    note('readiness, server gone', gone);

    expect(gone.tookMs).toBeLessThan(BOUND_MS);
    expect(gone.body.details['redis']).toMatchObject({
      connected: false,
      message: expect.stringMatching(/^health\.ping: Redis connection "default" is unavailable/),
    });
    expect(live.httpStatus).toBe(200);
    expect(connections.httpStatus).toBe(200);
    expect(connections.body).toMatchObject({
      status: 'degraded',
      details: { connections: { open: 1, ready: 0, roles: { command: { open: 1, ready: 0 } } } },
    });

    await server.restart();
    await eventually('readiness returns', async () => (await ask('ready')).httpStatus === 200);
  });
});
