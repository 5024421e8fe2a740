import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, HttpException, Injectable, type ExecutionContext, type Type } from '@nestjs/common';
import { APP_GUARD, type AbstractHttpAdapter } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { ConfigurationError, DIAGNOSTICS, RedisModule } from 'rednest';
import {
  RateLimit,
  RateLimitExceededError,
  RateLimitGuard,
  RateLimitModule,
  SkipRateLimit,
  type RateLimitModuleOptions,
} from 'rednest/rate-limit';
import { parseList } from 'structured-headers';
import { uniquePrefix } from '../support/prefix.js';
import { startEmbedded, type TestServer } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

const once = (name: string) => ({ name, limit: 1, window: '1h' }) as const;
const tenant = (context: ExecutionContext) =>
  context.switchToHttp().getRequest<{ headers: Record<string, string | undefined> }>().headers['x-tenant'];

@Controller()
class Routes {
  @Get('default')
  default(): string {
    return 'ok';
  }

  @Get('skipped')
  @SkipRateLimit()
  skipped(): string {
    return 'ok';
  }

  @Get('two')
  @RateLimit({ name: 'burst', limit: 2, window: '500ms' }, { name: 'hour', limit: 3, window: '90m' })
  two(): string {
    return 'ok';
  }

  @Get('tenant')
  @RateLimit({ ...once('tenant'), key: tenant })
  tenant(): string {
    return 'ok';
  }

  @Get('mixed')
  @RateLimit({ name: 'mixed-ip', limit: 3, window: '1h' }, { ...once('mixed-tenant'), key: tenant })
  mixed(): string {
    return 'ok';
  }

  @Get('named')
  @RateLimit('named')
  named(): string {
    return 'ok';
  }

  @Get('closed')
  @RateLimit({ ...once('closed'), onError: 'closed' })
  closed(): string {
    return 'ok';
  }
}

@Controller('class')
@RateLimit(once('class'))
class ClassRoutes {
  @Get('a')
  a(): string {
    return 'ok';
  }

  @Get('b')
  b(): string {
    return 'ok';
  }

  @Get('free')
  @SkipRateLimit('class')
  free(): string {
    return 'ok';
  }
}

@Injectable()
class CustomGuard extends RateLimitGuard {
  protected override getTracker(): string {
    return 'everybody';
  }

  protected override respond(_context: ExecutionContext, error: RateLimitExceededError): never {
    throw new HttpException({ slow: 'down', code: error.code }, 420, { cause: error });
  }
}

const OPTIONS: RateLimitModuleOptions = {
  timeout: '1s',
  policies: [once('named')],
  defaultPolicies: [{ name: 'default', limit: 3, window: '1m' }],
};

describe.each([
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
])('RateLimitGuard on %s', (_name, createAdapter) => {
  // One for all applications of the suite: Nest's logger is shared by the process.
  const log = new TestLog();
  let server: TestServer;
  let http: Awaited<ReturnType<typeof startApp>>;

  beforeAll(async () => {
    server = await startEmbedded();
    http = await startApp({ url: server.url, adapter: createAdapter(), log });
  });

  afterAll(async () => {
    await http?.close();
    await server?.stop();
  });

  it('lets the limit through with its fields, then answers 429 with a problem document', async () => {
    const passed = [await http.get('/default'), await http.get('/default'), await http.get('/default')];

    const refused = await http.get('/default', { 'x-forwarded-for': '198.51.100.9' });

    expect(passed.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(passed.map(({ headers }) => headers.get('ratelimit-policy'))).toEqual(
      Array.from({ length: 3 }, () => '"default";q=3;w=60'),
    );
    expect(passed.map(({ headers }) => fields(headers)['default']?.['r'])).toEqual([2, 1, 0]);
    expect(passed[0]!.headers.has('retry-after')).toBe(false);
    expect(refused.status).toBe(429);
    const retryAfter = Number(refused.headers.get('retry-after'));
    expect(retryAfter).toBeGreaterThan(55);
    expect(retryAfter).toBeLessThanOrEqual(63);
    expect(fields(refused.headers)).toEqual({ default: { r: 0, t: retryAfter } });
    expect(refused.headers.get('content-type')).toMatch(/^application\/problem\+json\b/);
    expect(JSON.parse(refused.body)).toEqual({
      type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
      title: 'The quota for these requests is used up',
      status: 429,
      detail: `Rate limit "default" exceeded; retry in ${retryAfter} s`,
      'violated-policies': ['default'],
    });
  });

  it('leaves skipped routes alone', async () => {
    const answers = [];
    for (let i = 0; i < 5; i++) answers.push(await http.get('/skipped'));

    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(answers[4]!.headers.has('ratelimit')).toBe(false);
  });

  it('names every policy of a route, and tells what the tightest has left', async () => {
    const { headers } = await http.get('/two');

    expect(headers.get('ratelimit-policy')).toBe('"burst";q=2, "hour";q=3;w=5400');
    expect(Object.keys(fields(headers))).toEqual(['burst']);
  });

  it('counts per key, and not at all where a key function gives none', async () => {
    const status = async (id?: string) => (await http.get('/tenant', id ? { 'x-tenant': id } : {})).status;

    expect([await status('a'), await status('b'), await status('a'), await status(), await status()]).toEqual(
      [200, 200, 429, 200, 200],
    );
  });

  it('is all or nothing over policies with different keys', async () => {
    const answers = [];
    for (const tenant of ['m', 'm', 'n', 'o', 'p']) {
      answers.push(await http.get('/mixed', { 'x-tenant': tenant }));
    }
    const [, second, , , fifth] = answers;

    // The second is refused for its tenant, so it costs the address nothing: three others still pass.
    expect(answers.map(({ status }) => status)).toEqual([200, 429, 200, 200, 429]);
    expect(JSON.parse(second!.body)).toMatchObject({ 'violated-policies': ['mixed-tenant'] });
    expect(JSON.parse(fifth!.body)).toMatchObject({ 'violated-policies': ['mixed-ip'] });
    expect(Object.keys(fields(fifth!.headers))).toEqual(['mixed-ip']);
  });

  it('shares the counter of a class over its routes', async () => {
    const statuses = [];
    for (const path of ['/class/a', '/class/b', '/class/free', '/class/free']) {
      statuses.push((await http.get(path)).status);
    }

    expect(statuses).toEqual([200, 429, 200, 200]);
  });

  it('has hooks for the identity and the answer', async () => {
    const custom = await startApp({ url: server.url, adapter: createAdapter(), log, guard: CustomGuard });
    try {
      const statuses = [(await custom.get('/named')).status, (await custom.get('/skipped')).status];
      const refused = await custom.get('/named');

      expect([...statuses, refused.status]).toEqual([200, 200, 420]);
      expect(JSON.parse(refused.body)).toEqual({ slow: 'down', code: 'ERR_RATE_LIMIT_EXCEEDED' });
      expect(refused.headers.has('retry-after')).toBe(true);
    } finally {
      await custom.close();
    }
  });

  it('publishes decisions without identities', async () => {
    const messages: unknown[] = [];
    const listener = (message: unknown) => messages.push(message);
    subscribe(DIAGNOSTICS.rateLimit, listener);
    await http.get('/named');
    await http.get('/named');
    unsubscribe(DIAGNOSTICS.rateLimit, listener);

    expect(messages).toMatchObject([
      { policy: 'named', allowed: true, source: 'redis' },
      { policy: 'named', allowed: false, source: 'redis' },
    ]);
  });

  // Last: it takes the server away.
  it('decides locally without Redis, answers 503 where closed, and says so once', async () => {
    await server.stop();
    const startedMs = performance.now();

    const open = [await http.get('/default'), await http.get('/two')];
    const closed = await http.get('/closed');

    expect(performance.now() - startedMs).toBeLessThan(10_000);
    expect(open.map(({ status }) => status)).toEqual([200, 200]);
    expect(open.map(({ headers }) => headers.has('ratelimit'))).toEqual([true, true]);
    expect(closed.status).toBe(503);
    expect(closed.headers.get('retry-after')).toBe('5');
    expect(closed.headers.get('content-type')).toMatch(/^application\/problem\+json\b/);
    expect(JSON.parse(closed.body)).toMatchObject({ status: 503, 'violated-policies': ['closed'] });
    expect(log.lines.filter(({ message }) => String(message).includes('rate limits'))).toHaveLength(1);
  });
});

describe('RateLimitModule', () => {
  it('ends the start when a decorator names an unknown policy', async () => {
    const server = await startEmbedded();
    try {
      const start = startApp({
        url: server.url,
        adapter: new FastifyAdapter(),
        log: new TestLog(),
        options: { ...OPTIONS, policies: [] },
      });
      await expect(start).rejects.toBeInstanceOf(ConfigurationError);
      await expect(start).rejects.toThrow(/Routes\.named refers to rate limit policy "named"/);
    } finally {
      await server.stop();
    }
  });
});

interface AppInit {
  url: string;
  adapter: AbstractHttpAdapter;
  log: TestLog;
  options?: RateLimitModuleOptions;
  guard?: Type<RateLimitGuard>;
}

async function startApp({ url, adapter, log, options = OPTIONS, guard = RateLimitGuard }: AppInit) {
  const module = await Test.createTestingModule({
    imports: [
      RedisModule.forRoot({ url, app: uniquePrefix(), env: {}, logger: log }),
      RateLimitModule.forRootAsync({ useFactory: () => options }),
    ],
    controllers: [Routes, ClassRoutes],
    providers: [{ provide: APP_GUARD, useClass: guard }],
  })
    .setLogger(log)
    .compile();
  const app = module.createNestApplication(adapter, { logger: log });
  try {
    await app.listen(0, '127.0.0.1');
  } catch (error) {
    await app.close();
    throw error;
  }
  const base = await app.getUrl();
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const response = await fetch(base + path, { headers: { ...headers, connection: 'close' } });
    return { status: response.status, headers: response.headers, body: await response.text() };
  };
  return { get, close: () => app.close() };
}

/** The `RateLimit` field as an object. */
function fields(headers: Headers): Record<string, Record<string, unknown>> {
  const list = parseList(headers.get('ratelimit') ?? '');
  return Object.fromEntries(list.map(([name, parameters]) => [String(name), Object.fromEntries(parameters)]));
}
