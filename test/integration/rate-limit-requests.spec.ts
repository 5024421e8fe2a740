import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  Body,
  Controller,
  Get,
  HttpException,
  Injectable,
  Post,
  Res,
  Sse,
  UnauthorizedException,
  UseGuards,
  type CallHandler,
  type CanActivate,
  type ExecutionContext,
  type MessageEvent,
  type NestInterceptor,
  type Provider,
  type Type,
} from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { ConfigurationError, REDIS, type RedisClient } from 'rednest';
import {
  Concurrency,
  RateLimit,
  RateLimiter,
  RateLimitGuard,
  RateLimitInfo,
  RateLimitInterceptor,
  RateLimitStreamGuard,
  type RateLimitDecision,
  type RateLimitModuleOptions,
} from 'rednest/rate-limit';
import { Observable, timeout } from 'rxjs';
import { parseList } from 'structured-headers';
import { eventually } from '../support/eventually.js';
import { startHttpApp, type HttpApp } from '../support/http-app.js';
import { hourly } from '../support/limiter/hourly.js';
import { startEmbedded, type TestServer } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

/** How many items the body has. */
const sizeOf = (context: ExecutionContext): number =>
  context.switchToHttp().getRequest<{ body: { items: unknown[] } }>().body.items.length;

/** Takes the header as the login, and refuses requests without one. */
@Injectable()
class AuthGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<{
      headers: Record<string, string | undefined>;
      user?: object;
    }>();
    const login = request.headers['x-login'];
    if (!login) throw new UnauthorizedException();
    const [id, tenantId] = login.split('@');
    request.user = { id, tenantId };
    return true;
  }
}

/** What handlers wait for, so that tests decide when they end. */
@Injectable()
class Gate {
  private readonly waiting: (() => void)[] = [];
  /** Streams that somebody listens to. */
  streams = 0;

  get size(): number {
    return this.waiting.length;
  }

  wait(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  open(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

@Controller()
class Routes {
  constructor(
    private readonly gate: Gate,
    private readonly limiter: RateLimiter,
  ) {}

  @Get('guarded')
  @UseGuards(AuthGuard)
  @RateLimit(hourly('attempts', 3), hourly('by-user', 2, { key: 'user' }))
  guarded(): string {
    return 'ok';
  }

  @Get('members')
  @UseGuards(AuthGuard)
  @RateLimit(hourly('served', 2, { countOnly: 'successes', scope: 'global' }))
  members(): string {
    return 'ok';
  }

  @Get('tenant')
  @UseGuards(AuthGuard)
  @RateLimit(
    hourly('by-tenant', 1, {
      key: 'tenant',
      resolve: ([, tenant]) => (tenant === 'big' ? { limit: 3 } : undefined),
    }),
  )
  tenant(): string {
    return 'ok';
  }

  @Get('api-key')
  @RateLimit(hourly('by-key', 1, { key: 'api-key' }))
  apiKey(): string {
    return 'ok';
  }

  @Post('batch')
  @RateLimit(
    hourly('items', 10, {
      cost: sizeOf,
    }),
  )
  batch(): string {
    return 'ok';
  }

  @Post('parts')
  @RateLimit(
    hourly('parts-by-plan', 10, { cost: sizeOf, resolve: () => Promise.resolve({ limit: 5 }) }),
    hourly('parts', 10, { cost: (context) => sizeOf(context) }),
  )
  parts(): string {
    return 'ok';
  }

  @Get('shadow')
  @RateLimit(hourly('watching', 1, { shadow: true }), hourly('limiting', 3))
  shadow(): string {
    return 'ok';
  }

  @Post('login')
  @RateLimit(hourly('failed-logins', 2, { countOnly: 'failures' }), hourly('logins', 5))
  login(@Body() { password }: { password?: string }): string {
    if (password !== 'right') throw new UnauthorizedException();
    return 'ok';
  }

  @Get('paid')
  @RateLimit(hourly('delivered', 1, { countOnly: 'successes' }))
  paid(@Res({ passthrough: true }) response: { status(code: number): unknown }): string {
    response.status(this.nextStatus);
    return 'ok';
  }

  nextStatus = 200;

  @Get('refunded')
  @RateLimit(hourly('refunds', 1))
  async refunded(@RateLimitInfo() info?: RateLimitDecision): Promise<{ left: number; back: boolean }> {
    const left = info!.policies[0]!.remaining;
    return { left, back: await this.limiter.refund(info!.receipt!) };
  }

  @Get('unlimited')
  unlimited(@RateLimitInfo() info?: RateLimitDecision): { limited: boolean } {
    return { limited: info !== undefined };
  }

  @Get('slow')
  @RateLimit(hourly('slow', 4))
  @Concurrency({ name: 'slow', limit: 1, lease: '30s' })
  async slow(): Promise<string> {
    await this.gate.wait();
    return 'ok';
  }

  @Sse('stream')
  @Concurrency({ name: 'streams', limit: 1, lease: '30s' })
  stream(): Observable<MessageEvent> {
    return new Observable((subscriber) => {
      this.gate.streams += 1;
      subscriber.next({ data: 'hello' });
      return () => (this.gate.streams -= 1);
    });
  }

  @Get('broken')
  @Concurrency({ name: 'broken', limit: 1 })
  broken(): never {
    throw new HttpException('broken', 502);
  }
}

@Controller()
class Queue {
  @Get('queued')
  @Concurrency({ name: 'queued', limit: 1, lease: '2s', maxWait: '5s', scope: 'global' })
  queued(): string {
    return 'ok';
  }
}

@Controller()
class Counted {
  @Get('plain')
  @RateLimit(hourly('plain', 1))
  plain(): string {
    return 'ok';
  }
}

@Controller()
class CountedOnly {
  @Get('failures')
  @RateLimit(hourly('failed', 1, { countOnly: 'failures' }))
  failures(): string {
    return 'ok';
  }
}

@Controller()
class Undecorated {
  @Get('undecorated')
  get(): string {
    return 'ok';
  }
}

@Controller()
@UseGuards(RateLimitGuard)
class Guarded {
  @Get('bound')
  get(): string {
    return 'ok';
  }
}

/** Does not wait for handlers that take long. */
@Injectable()
class Impatience implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(timeout(300));
  }
}

const ADAPTERS = [
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
] as const;

describe.each(ADAPTERS)('requests on %s', (_name, createAdapter) => {
  const log = new TestLog();
  let server: TestServer;
  let http: HttpApp;

  beforeAll(async () => {
    server = await startEmbedded();
    http = await start();
  });
  afterAll(async () => {
    await http?.close();
    await server?.stop();
  });

  function start(options: RateLimitModuleOptions = {}): Promise<HttpApp> {
    return startHttpApp({
      url: server.url,
      adapter: createAdapter(),
      log,
      options,
      controllers: [Routes],
      providers: [
        Gate,
        { provide: APP_GUARD, useClass: RateLimitGuard },
        { provide: APP_GUARD, useClass: RateLimitStreamGuard },
        { provide: APP_INTERCEPTOR, useClass: RateLimitInterceptor },
      ],
    });
  }

  const times = async (count: number, ask: () => Promise<{ status: number }>): Promise<number[]> => {
    const statuses: number[] = [];
    for (let index = 0; index < count; index += 1) statuses.push((await ask()).status);
    return statuses;
  };

  it('counts attempts before authentication, and users after it', async () => {
    const as = (login?: string) => () => http.get('/guarded', login ? { 'x-login': login } : {});

    // Three attempts per address: the one without a login counts, although it never gets past its guard.
    expect(await times(1, as())).toEqual([401]);
    expect(await times(2, as('ann'))).toEqual([200, 200]);
    const refused = await as('bob')();
    expect(refused.status).toBe(429);
    expect(JSON.parse(refused.body)).toMatchObject({ 'violated-policies': ['attempts'] });
  });

  it('tells both stages in one field, and refuses a user after the guard has let it in', async () => {
    const other = await start({ headers: { fields: 'all' } });
    try {
      const first = await other.get('/guarded', { 'x-login': 'eve' });
      await other.get('/guarded', { 'x-login': 'eve' });
      const refused = await other.get('/guarded', { 'x-login': 'eve' });

      expect(first.headers.get('ratelimit-policy')).toBe('"attempts";q=3;w=3600, "by-user";q=2;w=3600');
      expect(left(first.headers)).toEqual({ attempts: 2, 'by-user': 1 });
      expect(refused.status).toBe(429);
      expect(JSON.parse(refused.body)).toMatchObject({ 'violated-policies': ['by-user'] });
      expect(left(refused.headers)).toEqual({ attempts: 0, 'by-user': 0 });
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(3000);
    } finally {
      await other.close();
    }
  });

  it('limits tenants by what resolve says about each', async () => {
    const as = (tenant: string) => () => http.get('/tenant', { 'x-login': `ann@${tenant}` });

    expect(await times(2, as('small'))).toEqual([200, 429]);
    expect(await times(4, as('big'))).toEqual([200, 200, 200, 429]);
    expect((await as('big')()).headers.get('ratelimit-policy')).toBe('"by-tenant";q=3;w=3600');
  });

  it('limits by API key without keeping it, and by address, with one warning, where there is none', async () => {
    const as = (key?: string) => () => http.get('/api-key', key ? { 'x-api-key': key } : {});

    expect(await times(2, as('s3cret-key'))).toEqual([200, 429]);
    expect(await times(1, as('other-key'))).toEqual([200]);
    expect(await times(3, as())).toEqual([200, 429, 429]);

    const keys = await http.app.get<RedisClient>(REDIS).keys('*');
    expect(keys.some((key) => key.includes('api-key'))).toBe(true);
    expect(keys.some((key) => key.includes('s3cret'))).toBe(false);
    expect(keys.some((key) => key.includes('{no-api-key/127.0.0.1}'))).toBe(true);
    expect(log.lines.filter(({ message }) => String(message).includes('by api-key has none'))).toHaveLength(
      1,
    );
  });

  it('takes what a request costs; nothing costs nothing, too much is refused for good', async () => {
    const send = (count: number) => http.post('/batch', { items: Array.from({ length: count }, () => 1) });

    const free = await send(0);
    const tooMuch = await send(11);
    const statuses = [await send(7), await send(4), await send(3)].map(({ status }) => status);

    expect([free.status, free.headers.has('ratelimit')]).toEqual([201, false]);
    expect([tooMuch.status, tooMuch.headers.has('retry-after')]).toEqual([413, false]);
    expect(JSON.parse(tooMuch.body)).toMatchObject({ status: 413, 'violated-policies': ['items'] });
    expect(statuses).toEqual([201, 429, 201]);
  });

  it('answers a request that costs too much under several policies, and leaves no rejection behind', async () => {
    const unhandled: unknown[] = [];
    const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', onUnhandled);

    const { status } = await http.post('/parts', { items: Array.from({ length: 11 }, () => 1) });
    await nextTurn();
    process.off('unhandledRejection', onUnhandled);

    expect({ status, unhandled }).toEqual({ status: 413, unhandled: [] });
  });

  it('lets a policy in shadow mode watch, and does not tell clients about it', async () => {
    const answers = [await http.get('/shadow'), await http.get('/shadow')];

    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(answers[1]!.headers.get('ratelimit-policy')).toBe('"limiting";q=3;w=3600');
  });

  it('counts failures only, and has given a success back before it is answered', async () => {
    const login = (password: string) => () => http.post('/login', { password });

    expect(await times(3, login('right'))).toEqual([201, 201, 201]);
    expect(await times(2, login('wrong'))).toEqual([401, 401]);
    const refused = await login('right')();
    expect(refused.status).toBe(429);
    // The other policy counted all of them: five of five are used.
    expect(JSON.parse(refused.body)).toMatchObject({ 'violated-policies': ['failed-logins', 'logins'] });
  });

  it('counts successes only, whether a failure is thrown or a status', async () => {
    const routes = http.app.get(Routes);
    routes.nextStatus = 503;
    expect(await times(3, () => http.get('/paid'))).toEqual([503, 503, 503]);
    routes.nextStatus = 200;

    expect(await times(2, () => http.get('/paid'))).toEqual([200, 429]);
  });

  it('counts successes only, and nothing of what a later guard refuses', async () => {
    const statuses = await times(2, () => http.get('/members'));
    statuses.push(...(await times(3, () => http.get('/members', { 'x-login': 'ann' }))));

    expect(statuses).toEqual([401, 401, 200, 200, 429]);
  });

  it('gives the handler the decision, with a receipt that can be given back', async () => {
    const bodies = [await http.get('/refunded'), await http.get('/refunded')].map(({ body }) =>
      JSON.parse(body),
    );

    expect(bodies).toEqual([
      { left: 0, back: true },
      { left: 0, back: true },
    ]);
    expect(JSON.parse((await http.get('/unlimited')).body)).toEqual({ limited: false });
  });

  it('holds a slot while a request is in progress; who finds none is not charged', async () => {
    const gate = http.app.get(Gate);
    const first = http.get('/slow');
    await eventually('the first request is in its handler', () => gate.size === 1);

    const refused = [
      await http.get('/slow'),
      await http.get('/slow'),
      await http.get('/slow'),
      await http.get('/slow'),
    ];
    gate.open();
    const { status, headers } = await first;

    expect(refused.map((answer) => [answer.status, answer.headers.get('retry-after')])).toEqual(
      refused.map(() => [429, '1']),
    );
    expect(JSON.parse(refused[0]!.body)).toMatchObject({ status: 429, 'violated-policies': ['slow'] });
    expect([status, left(headers)]).toEqual([200, { slow: 3 }]);
    // Four were refused, and all four units but the first one's are still there.
    const again = await eventually('the slot is free again', async () => {
      const next = http.get('/slow');
      await eventually('it was refused or runs', async () => gate.size === 1 || (await settled(next)));
      gate.open();
      const answer = await next;
      return answer.status === 200 && answer;
    });
    expect(left(again.headers)).toEqual({ slow: 2 });
  });

  it('keeps the slot of a handler whose client has gone until the handler has ended', async () => {
    const gate = http.app.get(Gate);
    const controller = new AbortController();
    const gone = fetch(`${http.base}/slow`, { signal: controller.signal }).catch(() => 'gone');
    await eventually('it is in its handler', () => gate.size === 1);
    controller.abort();
    expect(await gone).toBe('gone');

    expect((await http.get('/slow')).status).toBe(429);
    gate.open();
    await eventually('the slot is free', async () => (await slots(http, 'slow')) === 0);
  });

  it('holds the slot of a stream until its client goes', async () => {
    const gate = http.app.get(Gate);
    const controller = new AbortController();
    const response = await fetch(`${http.base}/stream`, { signal: controller.signal });
    await eventually('the stream runs', () => gate.streams === 1);

    const refused = await http.get('/stream');
    expect(refused.status).toBe(429);
    expect(refused.headers.get('content-type')).toContain('application/problem+json');
    expect(refused.headers.get('retry-after')).not.toBeNull();
    expect(gate.streams).toBe(1);
    controller.abort();
    await response.body?.cancel().catch(() => undefined);

    await eventually('the slot is free', async () => (await slots(http, 'streams')) === 0);
    expect(gate.streams).toBe(0);
  });

  it('gives the slot back after an error', async () => {
    const statuses = await times(1, () => http.get('/broken'));
    await eventually('the slot is free', async () => (await slots(http, 'broken')) === 0);

    expect([...statuses, ...(await times(1, () => http.get('/broken')))]).toEqual([502, 502]);
  });

  it('takes no slot for a request that an outer interceptor has given up', async () => {
    const impatient = await startHttpApp({
      url: server.url,
      adapter: createAdapter(),
      log,
      controllers: [Queue],
      providers: [
        { provide: APP_INTERCEPTOR, useClass: Impatience },
        { provide: APP_INTERCEPTOR, useClass: RateLimitInterceptor },
      ],
    });
    try {
      const held = await impatient.app
        .get(RateLimiter)
        .concurrency(['ip', '127.0.0.1'], { name: 'queued', limit: 1, lease: '30s' });
      const given = await impatient.get('/queued');
      await held.release();
      const next = await impatient.get('/queued');
      await eventually('the slot is free', async () => (await slots(impatient, 'queued')) === 0);
      // The answer to the first question comes when nobody waits for it any more.
      await impatient.app.get<RedisClient>(REDIS).call('CLIENT', 'PAUSE', '500', 'ALL');
      const late = await impatient.get('/queued');
      await eventually('the slot is free again', async () => (await slots(impatient, 'queued')) === 0);

      expect([given.status, next.status, late.status]).toEqual([500, 200, 500]);
    } finally {
      await impatient.close();
    }
  });

  it('sends the old fields when asked to', async () => {
    const other = await start({
      headers: { fields: false, legacy: true },
      defaultPolicies: [{ name: 'default', limit: 2, window: '1m' }],
    });
    try {
      const { headers } = await other.get('/unlimited');

      expect(headers.has('ratelimit')).toBe(false);
      expect(headers.get('x-ratelimit-limit')).toBe('2');
      expect(headers.get('x-ratelimit-remaining')).toBe('1');
      expect(Number(headers.get('x-ratelimit-reset'))).toBeGreaterThan(50);
    } finally {
      await other.close();
    }
  });
});

describe('start of an application', () => {
  let server: TestServer;
  const log = new TestLog();

  beforeAll(async () => (server = await startEmbedded()));
  afterAll(() => server?.stop());

  it('ends when a policy after authentication has no interceptor to apply it', async () => {
    const start = startHttpApp({
      url: server.url,
      adapter: new FastifyAdapter(),
      log,
      controllers: [Routes],
      providers: [Gate, { provide: APP_GUARD, useClass: RateLimitGuard }],
    });

    await expect(start).rejects.toBeInstanceOf(ConfigurationError);
    await expect(start).rejects.toThrow(/Routes\.guarded has the policy "by-user".*APP_INTERCEPTOR/);
  });

  it.each<
    [what: string, controllers: Type[], bound: Provider[], options: RateLimitModuleOptions, says: RegExp]
  >([
    ['a policy before authentication, no guard', [Counted], [], {}, /Counted\.plain .*"plain".*APP_GUARD/],
    [
      'a policy that counts one outcome, no interceptor',
      [CountedOnly],
      [{ provide: APP_GUARD, useClass: RateLimitGuard }],
      {},
      /CountedOnly\.failures .*"failed".*APP_INTERCEPTOR/,
    ],
    [
      'a default policy before authentication, no guard',
      [Undecorated],
      [],
      { defaultPolicies: [hourly('default', 1)] },
      /defaultPolicies.*"default".*APP_GUARD/,
    ],
    [
      'a default policy after authentication, no interceptor',
      [Undecorated],
      [{ provide: APP_GUARD, useClass: RateLimitGuard }],
      { defaultPolicies: [hourly('default', 1, { key: 'user' })] },
      /defaultPolicies.*"default".*APP_INTERCEPTOR/,
    ],
  ])('ends when nothing applies %s', async (_what, controllers, providers, options, says) => {
    const start = startHttpApp({
      url: server.url,
      adapter: new FastifyAdapter(),
      log,
      controllers,
      providers,
      options,
    });

    await expect(start).rejects.toBeInstanceOf(ConfigurationError);
    await expect(start).rejects.toThrow(says);
  });

  it('accepts a guard bound to one class for the defaults', async () => {
    const app = await startHttpApp({
      url: server.url,
      adapter: new FastifyAdapter(),
      log,
      controllers: [Undecorated, Guarded],
      options: { defaultPolicies: [hourly('default', 1)] },
    });
    const statuses = [];
    for (const path of ['/bound', '/bound', '/undecorated']) statuses.push((await app.get(path)).status);
    await app.close();

    expect(statuses).toEqual([200, 429, 200]);
  });

  it('accepts an interceptor bound to the application, the class or the method', async () => {
    const app = await startHttpApp({
      url: server.url,
      adapter: new FastifyAdapter(),
      log,
      controllers: [Routes],
      providers: [
        Gate,
        { provide: APP_GUARD, useClass: RateLimitGuard },
        { provide: APP_GUARD, useClass: RateLimitStreamGuard },
        RateLimitInterceptor,
      ],
      prepare: (nest) => void nest.useGlobalInterceptors(nest.get(RateLimitInterceptor)),
    });
    expect((await app.get('/guarded', { 'x-login': 'ann' })).status).toBe(200);
    await app.close();
  });

  it.each([
    ['Express', () => new ExpressAdapter(), true, '"trust proxy" is true'],
    ['Express', () => new ExpressAdapter(), 1, undefined],
    ['Fastify', () => new FastifyAdapter({ trustProxy: true }), undefined, '"trustProxy" is true'],
    ['Fastify', () => new FastifyAdapter({ trustProxy: '10.0.0.0/8' }), undefined, undefined],
  ])('on %s, trust proxy %#, warns about believing everybody', async (_name, adapter, trust, expected) => {
    const before = log.lines.length;
    const app = await startHttpApp({
      url: server.url,
      adapter: adapter(),
      log,
      prepare: (nest) => {
        if (trust !== undefined)
          (nest.getHttpAdapter().getInstance() as { set(k: string, v: unknown): void }).set(
            'trust proxy',
            trust,
          );
      },
    });
    await app.close();

    const warnings = log.lines
      .slice(before)
      .filter(({ message }) => String(message).includes('choose their own'));
    const said = warnings.map(({ level, message }) => [level, String(message).split(':')[0]]);
    expect(said).toEqual(expected === undefined ? [] : [['warn', expected]]);
  });
});

/** What each policy has left, by the `RateLimit` field. */
function left(headers: Headers): Record<string, unknown> {
  const list = parseList(headers.get('ratelimit') ?? '');
  return Object.fromEntries(list.map(([name, parameters]) => [String(name), parameters.get('r')]));
}

async function settled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  return (await Promise.race([promise, Promise.resolve(pending)])) !== pending;
}

async function slots({ app }: HttpApp, name: string): Promise<number> {
  const redis = app.get<RedisClient>(REDIS);
  const keys = (await redis.keys('*')).filter((key) => key.endsWith(`:n:${name}`));
  const counts = await Promise.all(keys.map((key) => redis.zcard(key)));
  return counts.reduce((sum, count) => sum + count, 0);
}
