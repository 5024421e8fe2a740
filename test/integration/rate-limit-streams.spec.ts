import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  Controller,
  Injectable,
  Sse,
  UnauthorizedException,
  UseGuards,
  type CanActivate,
  type ExecutionContext,
  type MessageEvent,
  type Provider,
} from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { REDIS, type RedisClient } from 'rednest';
import {
  Concurrency,
  RateLimit,
  RateLimitGuard,
  RateLimitInterceptor,
  RateLimitStreamGuard,
} from 'rednest/rate-limit';
import { Observable } from 'rxjs';
import { eventually } from '../support/eventually.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { startHttpApp, type HttpApp } from '../support/http-app.js';
import { startEmbedded, type TestServer } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

/** A round trip to Redis, in milliseconds: long after Nest has sent the head of a stream that no guard holds back. */
const ROUND_TRIP_MS = 60;

/** Takes the header as the login. */
@Injectable()
class AuthGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<{ headers: Record<string, string>; user?: object }>();
    request.user = { id: request.headers['x-login'] };
    return true;
  }
}

@Injectable()
class ClosedGuard implements CanActivate {
  canActivate(): boolean {
    throw new UnauthorizedException();
  }
}

let open = 0;

function endless(): Observable<MessageEvent> {
  return new Observable((subscriber) => {
    open += 1;
    subscriber.next({ data: 'hello' });
    return () => (open -= 1);
  });
}

@Controller()
class Streams {
  @Sse('one')
  @UseGuards(RateLimitStreamGuard)
  @Concurrency({ name: 'one', limit: 1 })
  one(): Observable<MessageEvent> {
    return endless();
  }

  @Sse('patient')
  @UseGuards(RateLimitStreamGuard)
  @Concurrency({ name: 'patient', limit: 1, maxWait: '10s' })
  patient(): Observable<MessageEvent> {
    return endless();
  }

  @Sse('feed')
  @UseGuards(AuthGuard, RateLimitStreamGuard)
  @RateLimit({ name: 'feed', limit: 1, window: '1h', key: 'user' })
  feed(): Observable<MessageEvent> {
    return endless();
  }

  @Sse('closed')
  @UseGuards(RateLimitStreamGuard, ClosedGuard)
  @Concurrency({ name: 'closed', limit: 1 })
  closed(): Observable<MessageEvent> {
    return endless();
  }
}

@Controller()
class Unbound {
  @Sse('unbound')
  @Concurrency({ name: 'unbound', limit: 1 })
  unbound(): Observable<MessageEvent> {
    return endless();
  }
}

const PROVIDERS: Provider[] = [
  { provide: APP_GUARD, useClass: RateLimitGuard },
  { provide: APP_INTERCEPTOR, useClass: RateLimitInterceptor },
];

describe.each([
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
])('streams of events on %s, when Redis takes its time', (_name, createAdapter) => {
  const log = new TestLog();
  let server: TestServer;
  let proxy: FaultProxy;
  let http: HttpApp;
  let clients: AbortController[];

  beforeAll(async () => {
    server = await startEmbedded();
    proxy = await FaultProxy.listen(server.port);
    http = await startHttpApp({
      url: proxy.url,
      adapter: createAdapter(),
      log,
      controllers: [Streams],
      providers: PROVIDERS,
    });
  });
  beforeEach(() => {
    clients = [];
    proxy.latency(ROUND_TRIP_MS);
  });
  afterEach(async () => {
    for (const client of clients) client.abort();
    proxy.latency(0);
    await eventually('no stream is open and no slot taken', async () => open === 0 && (await taken()) === 0);
  });
  afterAll(async () => {
    await http?.close();
    await proxy?.close();
    await server?.stop();
  });

  /** A client that reads the head; `hangUp` ends it. */
  async function listen(path: string, login = 'ann'): Promise<{ status: number; hangUp: () => void }> {
    const client = new AbortController();
    clients.push(client);
    const { status } = await fetch(http.base + path, {
      headers: { 'x-login': login },
      signal: client.signal,
    });
    return { status, hangUp: () => client.abort() };
  }

  async function taken(): Promise<number> {
    const redis = http.app.get<RedisClient>(REDIS);
    const keys = (await redis.keys('*')).filter((key) => key.includes(':n:'));
    const counts = await Promise.all(keys.map((key) => redis.zcard(key)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  it('are refused with a status of their own when no slot is free', async () => {
    const first = await listen('/one');
    const startedMs = performance.now();
    const refused = await http.get('/one');
    const tookMs = performance.now() - startedMs;

    expect(first.status).toBe(200);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('content-type')).toContain('application/problem+json');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(JSON.parse(refused.body)).toMatchObject({ status: 429 });
    expect(open).toBe(1);
    // The answer had to come from Redis: no head was sent in the meantime.
    expect(tookMs).toBeGreaterThanOrEqual(ROUND_TRIP_MS);
  });

  it('are limited by user, whom a guard has found', async () => {
    const statuses = [
      (await listen('/feed', 'ann')).status,
      (await listen('/feed', 'ann')).status,
      (await listen('/feed', 'bob')).status,
    ];

    expect(statuses).toEqual([200, 429, 200]);
  });

  it('give their slot to the next one when their client goes', async () => {
    const first = await listen('/patient');
    const second = listen('/patient');
    await eventually('the second one waits', async () => open === 1);
    first.hangUp();

    expect((await second).status).toBe(200);
    await eventually('the second one runs', () => open === 1);
  });

  it('take no slot for a client that went while it waited', async () => {
    const first = await listen('/patient');
    const before = log.lines.length;
    const { requestBytes } = proxy.counters;
    const second = listen('/patient').catch(() => undefined);
    await eventually('the second one has asked', () => proxy.counters.requestBytes > requestBytes);
    clients[1]!.abort();
    await second;
    first.hangUp();

    await eventually('no slot is taken', async () => open === 0 && (await taken()) === 0);
    expect(log.lines.slice(before).filter(({ level }) => level === 'error')).toEqual([]);
  });

  it('leave no slot behind when a later guard refuses', async () => {
    const statuses = [(await listen('/closed')).status, (await listen('/closed')).status];

    expect(statuses[0]).toBe(401);
    await eventually('no slot is taken', async () => (await taken()) === 0);
  });

  it('end the start when nothing would apply their limits in time', async () => {
    const start = startHttpApp({
      url: server.url,
      adapter: createAdapter(),
      log,
      controllers: [Unbound],
      providers: PROVIDERS,
    });

    await expect(start).rejects.toThrow(/Unbound\.unbound.*"unbound".*RateLimitStreamGuard.*APP_GUARD/);
  });
});
