import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import {
  Controller,
  Get,
  Head,
  Header,
  HostParam,
  HttpCode,
  Injectable,
  NotFoundException,
  Param,
  Post,
  Query,
  Req,
  Res,
  ServiceUnavailableException,
  StreamableFile,
  Version,
  VersioningType,
  VERSION_NEUTRAL,
  type CallHandler,
  type ExecutionContext,
  type INestApplication,
  type NestInterceptor,
} from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { request as sendRequest } from 'node:http';
import { Readable } from 'node:stream';
import { map, type Observable } from 'rxjs';
import { RedisModule } from 'rednest';
import { CacheModule, CacheService, HttpCache, HttpCacheInterceptor, NoCache } from 'rednest/cache';
import { eventually } from '../support/eventually.js';
import { uniquePrefix } from '../support/prefix.js';
import { startEmbedded, type TestServer } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

/** A response under either adapter. */
interface AnyResponse {
  header?(name: string, value: string): unknown;
  status(code: number): unknown;
}

/** Calls of the handlers by route; the tests count with it. */
@Injectable()
class Calls {
  readonly counts = new Map<string, number>();
  mode: 'ok' | 'missing' | 'broken' = 'ok';
  /** Handlers wait for it. */
  gate: Promise<unknown> | undefined;

  next(route: string): number {
    const count = (this.counts.get(route) ?? 0) + 1;
    this.counts.set(route, count);
    return count;
  }

  of(route: string): number {
    return this.counts.get(route) ?? 0;
  }
}

class Entity {
  secret = 's3cret';
}

const user = (context: ExecutionContext) => {
  const { headers } = context.switchToHttp().getRequest<{ headers: Record<string, string | undefined> }>();
  return headers['authorization']?.replace('Bearer ', '');
};

/** A principal without types: what the caller names, whatever it is. */
const given = (context: ExecutionContext): string | undefined => {
  const { headers } = context.switchToHttp().getRequest<{ headers: Record<string, string | undefined> }>();
  return JSON.parse(headers['x-principal'] ?? 'null') as string | undefined;
};

/** Middleware that adds headers of the response which the caller asks for. */
const echo = (
  request: { headers: Record<string, string | undefined> },
  response: { setHeader(name: string, value: string): unknown },
  next: () => void,
): void => {
  for (const name of ['vary', 'set-cookie']) {
    const value = request.headers[`x-${name}`];
    if (value !== undefined) response.setHeader(name, value);
  }
  next();
};

@Controller()
class Routes {
  constructor(private readonly calls: Calls) {}

  @Get('plain/:id')
  @HttpCache({ ttl: '1m', jitter: 0, tags: ['plain'] })
  async plain(@Param('id') id: string): Promise<object> {
    const call = this.calls.next('plain');
    await this.calls.gate;
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (this.calls.mode === 'missing') throw new NotFoundException();
    if (this.calls.mode === 'broken') throw new ServiceUnavailableException();
    return { id, call, at: new Date(0) };
  }

  @Get('query')
  @HttpCache()
  query(@Query() query: object): object {
    return { query, call: this.calls.next('query') };
  }

  @Get('null')
  @HttpCache()
  nothing(): null {
    this.calls.next('null');
    return null;
  }

  @Get('language')
  @HttpCache({ vary: ['Accept-Language'] })
  language(@Req() request: { headers: Record<string, string> }): object {
    this.calls.next('language');
    return { language: request.headers['accept-language'] };
  }

  @Get('mine')
  @HttpCache({ principal: user, maxAge: '10s' })
  mine(@Req() request: { headers: Record<string, string> }): object {
    return { for: request.headers['authorization'], call: this.calls.next('mine') };
  }

  @Get('principal')
  @HttpCache({ principal: given })
  principal(@Req() request: { headers: Record<string, string> }): object {
    return { for: request.headers['authorization'] ?? null, call: this.calls.next('principal') };
  }

  @Get('public')
  @HttpCache({ principal: 'anyone', maxAge: 0 })
  everybody(): object {
    return { call: this.calls.next('public') };
  }

  @Get('stale')
  @HttpCache({ ttl: '1m', grace: '1h', staleWhileRevalidate: true, tags: ['stale'] })
  async stale(): Promise<object> {
    const call = this.calls.next('stale');
    await this.calls.gate;
    return { call };
  }

  @Get('grace')
  @HttpCache({ ttl: '1m', grace: '1h', graceBackoff: '1s', tags: ['grace'] })
  grace(): object {
    const call = this.calls.next('grace');
    if (this.calls.mode === 'missing') throw new NotFoundException();
    if (this.calls.mode === 'broken') throw new ServiceUnavailableException();
    return { call };
  }

  @Get('typed')
  @Header('Content-Type', 'text/css')
  @HttpCache()
  typed(@Res({ passthrough: true }) response: AnyResponse): string {
    this.calls.next('typed');
    response.header!('Content-Language', 'de');
    return 'a { color: red }';
  }

  @Get('bytes')
  @HttpCache()
  bytes(@Res({ passthrough: true }) response: AnyResponse): Buffer {
    this.calls.next('bytes');
    response.header!('Content-Type', 'application/x-bytes');
    return Buffer.from([0, 255, 1]);
  }

  @Get('cookie')
  @HttpCache()
  async cookie(@Res({ passthrough: true }) response: AnyResponse): Promise<object> {
    const call = this.calls.next('cookie');
    await new Promise((resolve) => setTimeout(resolve, 20));
    response.header!('Set-Cookie', `session=${call}`);
    return { call };
  }

  @Get('varies')
  @HttpCache()
  varies(@Res({ passthrough: true }) response: AnyResponse): object {
    response.header!('Vary', 'X-Tenant');
    return { call: this.calls.next('varies') };
  }

  @Get('private')
  @HttpCache()
  @Header('Cache-Control', 'private, max-age=5')
  personal(): object {
    return { call: this.calls.next('private') };
  }

  @Get('accepted')
  @HttpCache()
  @HttpCode(202)
  accepted(): object {
    return { call: this.calls.next('accepted') };
  }

  @Get('file')
  @HttpCache()
  file(): StreamableFile {
    this.calls.next('file');
    return new StreamableFile(Readable.from([Buffer.from('file')]));
  }

  @Get('entity')
  @HttpCache()
  entity(): Entity[] {
    this.calls.next('entity');
    return [new Entity()];
  }

  @Get('own')
  @HttpCache()
  own(@Res() response: { send(body: unknown): unknown }): void {
    this.calls.next('own');
    response.send({ own: true });
  }

  @Post('plain/:id')
  @HttpCode(200)
  @HttpCache()
  post(): object {
    return { call: this.calls.next('post') };
  }

  @Get('undecorated')
  undecorated(): object {
    return { call: this.calls.next('undecorated') };
  }

  @Head('head')
  @HttpCache()
  head(): void {
    this.calls.next('head');
  }
}

@Controller('class')
@HttpCache({ ttl: 'long' })
class ClassRoutes {
  constructor(private readonly calls: Calls) {}

  @Get('cached')
  cached(): object {
    return { call: this.calls.next('class') };
  }

  @Get('never')
  @NoCache()
  never(): object {
    return { call: this.calls.next('never') };
  }
}

@Controller({ path: 'tenant', host: ':tenant.example.com' })
class TenantRoutes {
  @Get()
  @HttpCache()
  find(@HostParam('tenant') tenant: string): object {
    return { tenant };
  }
}

/** Two versions of one controller, as they mostly look: one name, one path, one handler. */
function versioned(version: '1' | '2' | typeof VERSION_NEUTRAL): new () => object {
  @Controller({ path: 'versioned', version })
  class VersionedRoutes {
    @Get()
    @HttpCache()
    list(): object {
      return { version: String(version) };
    }

    @Get('method')
    @Version(version)
    @HttpCache()
    method(): object {
      return { version: String(version) };
    }
  }
  return VersionedRoutes;
}

/** A mixin: many classes of one name, told apart by their path. */
function crud(path: string): new () => object {
  @Controller(path)
  class CrudRoutes {
    @Get()
    @HttpCache()
    list(): object {
      return { path };
    }
  }
  return CrudRoutes;
}

/** Hides what a class marks, as serializers do; bound outside the cache. */
@Injectable()
class Serializer implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const isEntities = (body: unknown) => Array.isArray(body) && body[0] instanceof Entity;
    return next.handle().pipe(map((body: unknown) => (isEntities(body) ? [{}] : body)));
  }
}

/** As `fetch`, which does not let a caller name the host. */
async function ask(
  base: string,
  path: string,
  headers: Record<string, string>,
): Promise<{ xCache: string | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    const request = sendRequest(`${base}${path}`, { headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (data: string) => (text += data));
      response.on('error', reject);
      response.on('end', () => resolve({ xCache: response.headers['x-cache']?.toString(), text }));
    });
    request.on('error', reject).end();
  });
}

function suite(adapter: () => ExpressAdapter | FastifyAdapter): void {
  let server: TestServer;
  let app: INestApplication;
  let url: string;
  let calls: Calls;

  beforeAll(async () => {
    server = await startEmbedded();
  });
  afterAll(() => server.stop());

  beforeEach(async () => {
    app = await start();
    calls = app.get(Calls);
    url = await app.getUrl();
  });
  afterEach(() => app.close());

  async function start(prefix = uniquePrefix()): Promise<INestApplication> {
    const module = await Test.createTestingModule({
      imports: [
        RedisModule.forRoot({ app: prefix, env: {}, url: server.url, logger: new TestLog() }),
        CacheModule.forRoot(),
      ],
      controllers: [
        Routes,
        ClassRoutes,
        TenantRoutes,
        ...(['1', '2', VERSION_NEUTRAL] as const).map(versioned),
        ...['dogs', 'cats'].map(crud),
      ],
      providers: [
        Calls,
        { provide: APP_INTERCEPTOR, useClass: Serializer },
        { provide: APP_INTERCEPTOR, useClass: HttpCacheInterceptor },
      ],
    }).compile();
    const created = module.createNestApplication(adapter(), { logger: false });
    created.enableVersioning({ type: VersioningType.HEADER, header: 'x-version' });
    created.use(echo);
    await created.listen(0, '127.0.0.1');
    return created;
  }

  interface Reply {
    status: number;
    text: string;
    headers: Headers;
    xCache: string | null;
  }

  async function get(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Reply> {
    const response = await fetch(`${url}${path}`, { method, headers });
    const text = await response.text();
    return {
      status: response.status,
      text,
      headers: response.headers,
      xCache: response.headers.get('x-cache'),
    };
  }

  /** Waits until a response is kept: the write follows the answer. */
  const kept = (path: string, headers: Record<string, string> = {}): Promise<Reply> =>
    eventually(`${path} is kept`, async () => {
      const reply = await get(path, headers);
      return reply.xCache === 'HIT' && reply;
    });

  it('answers the first request with MISS and the next with HIT, byte for byte', async () => {
    const miss = await get('/plain/1');
    const hit = await kept('/plain/1');

    expect(miss).toMatchObject({ status: 200, xCache: 'MISS' });
    expect(hit.text).toBe(miss.text);
    expect(hit.headers.get('content-type')).toBe(miss.headers.get('content-type'));
    expect(hit.headers.get('etag')).toBe(miss.headers.get('etag'));
    expect(calls.of('plain')).toBe(1);
  });

  it('says how long: Age, and max-age from what is left', async () => {
    const miss = await get('/plain/1');
    const hit = await kept('/plain/1');

    expect(miss.headers.get('cache-control')).toBe('public, max-age=60');
    expect(miss.headers.get('age')).toBeNull();
    expect(Number(hit.headers.get('age'))).toBeLessThanOrEqual(5);
    expect(hit.headers.get('cache-control')).toMatch(/^public, max-age=5[5-9]$/);
    expect(hit.headers.get('vary')).toBe('authorization, cookie');
  });

  it('says how long by the clock of the server, however wrong that of this machine is', async () => {
    await get('/plain/1');
    await kept('/plain/1');
    const skewMs = 3_600_000;
    const now = Date.now.bind(Date);

    for (const skewed of [now() + skewMs, now() - skewMs]) {
      const clock = jest.spyOn(Date, 'now').mockReturnValue(skewed);
      const hit = await get('/plain/1').finally(() => clock.mockRestore());

      expect(hit.xCache).toBe('HIT');
      expect(Number(hit.headers.get('age'))).toBeLessThanOrEqual(5);
      expect(hit.headers.get('cache-control')).toMatch(/^public, max-age=5[5-9]$/);
    }
  });

  it('runs the handler once for requests at the same time', async () => {
    const replies = await Promise.all(Array.from({ length: 20 }, () => get('/plain/1')));

    expect(new Set(replies.map(({ text }) => text)).size).toBe(1);
    expect(calls.of('plain')).toBe(1);
  });

  it('shares responses between processes', async () => {
    const prefix = uniquePrefix();
    const [one, two] = [await start(prefix), await start(prefix)];
    const reply = async (from: INestApplication) => {
      const response = await fetch(`${await from.getUrl()}/plain/9`);
      return { text: await response.text(), xCache: response.headers.get('x-cache') };
    };

    const first = await reply(one);
    const second = await eventually('the other process has it', async () => {
      const next = await reply(two);
      return next.xCache === 'HIT' && next;
    });

    expect(second.text).toBe(first.text);
    expect(two.get(Calls).of('plain')).toBe(0);
    await Promise.all([one.close(), two.close()]);
  });

  it('answers 304 without a body to a client that has it, on a hit and on a miss', async () => {
    const etag = (await get('/query?a=1')).headers.get('etag')!;
    await kept('/plain/1');
    const plain = (await get('/plain/1')).headers.get('etag')!;

    const hit = await get('/plain/1', { 'if-none-match': `"other", ${plain.replace('W/', '')}` });
    const any = await get('/plain/1', { 'if-none-match': '*' });
    const other = await get('/plain/1', { 'if-none-match': etag });

    expect(hit).toMatchObject({ status: 304, text: '', xCache: 'HIT' });
    expect(hit.headers.get('etag')).toBe(plain);
    expect(hit.headers.get('cache-control')).toMatch(/^public, max-age=\d+$/);
    expect(any.status).toBe(304);
    expect(other.status).toBe(200);
    await app.get(CacheService).deleteByTag('plain');
    expect(await get('/plain/1', { 'if-none-match': plain })).toMatchObject({ status: 200, xCache: 'MISS' });
  });

  it('answers HEAD as GET, without a body, from an entry of its own', async () => {
    const miss = await get('/plain/1', {}, 'HEAD');
    const hit = await eventually('it is kept', async () => {
      const reply = await get('/plain/1', {}, 'HEAD');
      return reply.xCache === 'HIT' && reply;
    });

    expect([miss.status, hit.status, hit.text]).toEqual([200, 200, '']);
    expect(hit.headers.get('etag')).toBe(miss.headers.get('etag'));
    expect((await get('/plain/1')).xCache).toBe('MISS');
    expect((await get('/head', {}, 'HEAD')).status).toBe(200);
  });

  it('does not depend on the order of the query', async () => {
    await get('/query?a=1&b=2');
    await kept('/query?a=1&b=2');

    expect((await get('/query?b=2&a=1')).xCache).toBe('HIT');
    expect((await get('/query?a=1&b=3')).xCache).toBe('MISS');
  });

  it('keeps hosts apart', async () => {
    const from = (host: string) => ask(url, '/tenant', { host });

    const first = await from('a.example.com');
    await eventually('it is kept', async () => (await from('A.example.com:8080')).xCache === 'HIT');

    expect(first).toMatchObject({ xCache: 'MISS', text: '{"tenant":"a"}' });
    expect(await from('b.example.com')).toMatchObject({ xCache: 'MISS', text: '{"tenant":"b"}' });
  });

  it.each(['/versioned', '/versioned/method'])(
    'keeps versions of %s apart, also in classes of one name',
    async (path) => {
      const of = (version: string) => get(path, { 'x-version': version });
      await of('1');
      await kept(path, { 'x-version': '1' });

      expect((await of('1')).text).toBe('{"version":"1"}');
      expect(await of('2')).toMatchObject({ xCache: 'MISS', text: '{"version":"2"}' });
      expect(await get(path)).toMatchObject({
        xCache: 'MISS',
        text: '{"version":"Symbol(VERSION_NEUTRAL)"}',
      });
    },
  );

  it('keeps classes of one name with paths of their own apart', async () => {
    await get('/dogs');
    await kept('/dogs');

    expect(await get('/cats')).toMatchObject({ xCache: 'MISS', text: '{"path":"cats"}' });
  });

  it('keeps null', async () => {
    const miss = await get('/null');
    const hit = await kept('/null');

    expect(hit.text).toBe(miss.text);
    expect(calls.of('null')).toBe(1);
  });

  it('keeps the declared headers apart', async () => {
    const [de, en] = [{ 'accept-language': 'de' }, { 'accept-language': 'en' }];

    await get('/language', de);
    const hit = await kept('/language', de);

    expect(hit.text).toBe('{"language":"de"}');
    expect(hit.headers.get('vary')).toBe('accept-language, authorization, cookie');
    expect((await get('/language', en)).text).toBe('{"language":"en"}');
  });

  it.each([[{ authorization: 'Bearer ada' }], [{ cookie: 'session=1' }]])(
    'passes a request with %j by when there is no principal',
    async (headers) => {
      await get('/plain/1');
      await kept('/plain/1');

      const replies = [await get('/plain/1', headers), await get('/plain/1', headers)];

      expect(replies.map(({ xCache }) => xCache)).toEqual([null, null]);
      expect(calls.of('plain')).toBe(3);
    },
  );

  it('keeps principals apart, and tells caches on the way', async () => {
    const [ada, alan] = [{ authorization: 'Bearer ada' }, { authorization: 'Bearer alan' }];

    await get('/mine', ada);
    const hit = await kept('/mine', ada);

    expect(hit.text).toBe('{"for":"Bearer ada","call":1}');
    expect(hit.headers.get('cache-control')).toMatch(/^private, max-age=(?:9|10)$/);
    expect((await get('/mine', alan)).text).toContain('Bearer alan');
    expect((await get('/mine', { cookie: 'a=1' })).xCache).toBeNull();
    expect((await get('/mine')).headers.get('cache-control')).toMatch(/^public, /);
  });

  it.each(['null', '""'])('takes %s as no principal', async (principal) => {
    const ask = (who?: string) =>
      get('/principal', { 'x-principal': principal, ...(who ? { authorization: who } : {}) });

    const replies = [await ask('ada'), await ask('ada'), await ask('alan')];

    expect(replies.map(({ xCache }) => xCache)).toEqual([null, null, null]);
    expect(replies.map(({ text }) => text)).toEqual([
      '{"for":"ada","call":1}',
      '{"for":"ada","call":2}',
      '{"for":"alan","call":3}',
    ]);
    expect(await ask()).toMatchObject({ xCache: 'MISS', text: '{"for":null,"call":4}' });
  });

  it('refuses a principal that is not text, which would not tell callers apart', async () => {
    expect(await get('/principal', { 'x-principal': '{"id":1}' })).toMatchObject({ status: 500 });
    expect(calls.of('principal')).toBe(0);
  });

  it('does not keep a response for which middleware names a header that is not declared', async () => {
    const tenant = { 'x-vary': 'X-Tenant' };
    const replies = [await get('/plain/1', tenant), await get('/plain/1', tenant)];

    expect(replies.map(({ xCache }) => xCache)).toEqual([null, null]);
    expect(calls.of('plain')).toBe(2);
    await get('/plain/1');
    await kept('/plain/1');
    expect(await get('/plain/1', tenant)).toMatchObject({ xCache: null });
    for (const known of ['Origin, Accept-Encoding', 'Cookie'])
      expect(await get('/plain/1', { 'x-vary': known })).toMatchObject({ xCache: 'HIT' });
    const language = { 'accept-language': 'de', 'x-vary': 'Accept-Language' };
    await get('/language', language);
    expect((await kept('/language', language)).text).toBe('{"language":"de"}');
  });

  it('keeps a cookie that middleware sets away from caches on the way', async () => {
    for (const path of ['/plain/1', '/public']) {
      await get(path);
      await kept(path);

      const reply = await get(path, { 'x-set-cookie': 'session=1' });

      expect(reply.xCache).toBe('HIT');
      expect(reply.headers.get('set-cookie')).toBe('session=1');
      expect(reply.headers.get('cache-control')).toBe('private, no-cache');
    }
  });

  it('shares a response with everybody when the route says so', async () => {
    await get('/public', { cookie: 'a=1' });
    const hit = await kept('/public', { authorization: 'Bearer ada' });

    expect(hit.headers.get('cache-control')).toBe('public, no-cache');
    expect(hit.headers.get('vary')).toBeNull();
    expect(calls.of('public')).toBe(1);
  });

  it('answers STALE at once and loads behind it', async () => {
    await get('/stale');
    await kept('/stale');
    await app.get(CacheService).expireByTag('stale');

    let finish!: () => void;
    calls.gate = new Promise<void>((resolve) => (finish = resolve));
    const stale = await get('/stale');
    // The handler outlives the answer to the request that it runs for.
    finish();
    calls.gate = undefined;

    expect(stale).toMatchObject({ status: 200, xCache: 'STALE', text: '{"call":1}' });
    expect(stale.headers.get('cache-control')).toBe('public, no-cache');
    const fresh = await kept('/stale');
    expect(fresh.text).toBe('{"call":2}');
    expect(calls.of('stale')).toBe(2);
  });

  it('lets a stale response stand in for a failing source, but not for a missing thing', async () => {
    await get('/grace');
    await kept('/grace');
    await app.get(CacheService).expireByTag('grace');

    calls.mode = 'missing';
    expect(await get('/grace')).toMatchObject({ status: 404 });
    calls.mode = 'broken';
    expect(await get('/grace')).toMatchObject({ status: 200, xCache: 'STALE', text: '{"call":1}' });
  });

  it('passes errors on, to all who wait, and keeps none', async () => {
    const stats = () => app.get(CacheService).stats();
    for (const [mode, status] of [
      ['missing', 404],
      ['broken', 503],
    ] as const) {
      calls.mode = mode;
      const before = stats().joined;
      calls.gate = eventually('the others wait', () => stats().joined === before + 4);
      const replies = await Promise.all(Array.from({ length: 5 }, () => get('/plain/7')));
      expect(replies.map((reply) => reply.status)).toEqual([status, status, status, status, status]);
    }
    calls.mode = 'ok';
    calls.gate = undefined;

    expect(await get('/plain/7')).toMatchObject({ status: 200, xCache: 'MISS' });
    expect(calls.of('plain')).toBe(3);
  });

  it('gives back type and headers of the handler', async () => {
    for (const path of ['/typed', '/bytes']) {
      const miss = await get(path);
      const hit = await kept(path);
      expect(hit.text).toBe(miss.text);
      for (const name of ['content-type', 'content-language', 'content-length', 'etag']) {
        expect([name, hit.headers.get(name)]).toEqual([name, miss.headers.get(name)]);
      }
    }
    expect((await kept('/typed')).headers.get('content-language')).toBe('de');
    expect((await kept('/bytes')).headers.get('content-type')).toContain('application/x-bytes');
  });

  it.each(['cookie', 'varies', 'private', 'accepted', 'file', 'entity', 'own', 'undecorated'])(
    'does not keep what must not be kept: %s',
    async (path) => {
      const replies = await Promise.all([get(`/${path}`), get(`/${path}`)]);
      replies.push(await get(`/${path}`));

      expect(replies.map(({ xCache }) => xCache)).toEqual([null, null, null]);
      expect(calls.of(path)).toBe(3);
      expect(app.get(CacheService).stats().writes).toBe(0);
    },
  );

  it('gives every client the cookie of its own, also of those who waited for another', async () => {
    const replies = await Promise.all(Array.from({ length: 5 }, () => get('/cookie')));

    const cookies = replies.map(({ headers, text }) => [headers.get('set-cookie'), text]);
    expect(new Set(cookies.map(([cookie]) => cookie)).size).toBe(5);
    for (const [cookie, text] of cookies) expect(text).toContain(cookie!.replace('session=', ''));
  });

  it('never shows what a serializer further out hides', async () => {
    for (let time = 0; time < 3; time += 1) expect((await get('/entity')).text).toBe('[{}]');
  });

  it('leaves other methods alone', async () => {
    await get('/plain/1', {}, 'POST');
    await get('/plain/1', {}, 'POST');

    expect(calls.of('post')).toBe(2);
  });

  it('applies to a class, except where a method says no', async () => {
    await get('/class/cached');
    await kept('/class/cached');
    const never = [await get('/class/never'), await get('/class/never')];

    expect(calls.of('class')).toBe(1);
    expect(never.map(({ headers }) => headers.get('cache-control'))).toEqual(['no-store', 'no-store']);
    expect(calls.of('never')).toBe(2);
  });

  it('forgets by tag', async () => {
    await get('/plain/1');
    await kept('/plain/1');

    await app.get(CacheService).deleteByTag('plain');

    expect((await get('/plain/1')).xCache).toBe('MISS');
    expect(calls.of('plain')).toBe(2);
  });

  it('answers without Redis', async () => {
    const lone = await startEmbedded();
    const module = await Test.createTestingModule({
      imports: [
        RedisModule.forRoot({ app: uniquePrefix(), env: {}, url: lone.url, logger: new TestLog() }),
        CacheModule.forRoot(),
      ],
      controllers: [Routes],
      providers: [Calls, { provide: APP_INTERCEPTOR, useClass: HttpCacheInterceptor }],
    }).compile();
    const offline = module.createNestApplication(adapter(), { logger: false });
    await offline.listen(0, '127.0.0.1');
    await lone.stop();

    const response = await fetch(`${await offline.getUrl()}/plain/1`);

    expect(response.status).toBe(200);
    expect(response.headers.get('x-cache')).toBe('MISS');
    await offline.close();
  });
}

describe.each([
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
])('HttpCacheInterceptor on %s', (_name, adapter) => {
  suite(adapter);
});
