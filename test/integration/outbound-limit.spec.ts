import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Inject, Injectable } from '@nestjs/common';
import type { TestingModule } from '@nestjs/testing';
import { Redis } from 'ioredis';
import { ConfigurationError, isRednestError } from 'rednest';
import {
  getOutboundToken,
  InjectOutbound,
  OutboundLimiter,
  OutboundLimitError,
  OutboundLimitModule,
  RateLimitModule,
  RateLimitUnavailableError,
  type OutboundLimitOptions,
  type RateLimitModuleOptions,
} from 'rednest/rate-limit';
import { createModule } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { failure } from '../support/failure.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startEmbedded, startNative, type NativeServer, type TestServer } from '../support/servers.js';

const open: TestingModule[] = [];

interface Place {
  url: string;
  prefix: string;
  module?: RateLimitModuleOptions;
}

/** A process of its own as far as Redis can tell: own connections, own memory. */
async function outbound(limit: OutboundLimitOptions, { url, prefix, module = {} }: Place) {
  const app = await createModule({
    redis: { url, app: prefix },
    imports: [RateLimitModule.forRoot({ timeout: '1s', ...module }), OutboundLimitModule.forFeature([limit])],
  });
  open.push(app);
  return app.get<OutboundLimiter>(getOutboundToken(limit.name), { strict: false });
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((app) => app.close()));
});

/** Somebody else's service: counts the calls of a trailing window itself, and refuses what is over. */
class Provider {
  readonly callsMs: number[] = [];
  refused = 0;

  constructor(
    private readonly limit: number,
    private readonly windowMs: number,
  ) {}

  readonly call = async (): Promise<Response> => {
    const nowMs = performance.now();
    const recent = this.callsMs.filter((atMs) => atMs > nowMs - this.windowMs);
    if (recent.length >= this.limit) {
      this.refused += 1;
      return new Response(null, { status: 429, headers: { 'retry-after': '1' } });
    }
    this.callsMs.push(nowMs);
    return new Response('ok');
  };
}

describe('OutboundLimiter', () => {
  let server: TestServer;
  beforeAll(async () => (server = await startEmbedded()));
  afterAll(() => server?.stop());
  const place = (module?: RateLimitModuleOptions): Place => ({
    url: server.url,
    prefix: uniquePrefix(),
    module,
  });

  it('fails at once without room, and tells exactly how long to wait', async () => {
    const limiter = await outbound({ name: 'maps', limit: 3, window: '600ms' }, place());
    let calls = 0;
    const task = async (): Promise<number> => (calls += 1);
    for (let call = 0; call < 3; call += 1) await limiter.run('a', task);

    const startedMs = performance.now();
    const error = await failure(limiter.run('a', task));
    const answeredMs = performance.now();

    expect(error).toBeInstanceOf(OutboundLimitError);
    expect(error).toMatchObject({ code: 'ERR_OUTBOUND_LIMIT', provider: 'maps', reason: 'limit' });
    const { retryAfterMs } = error as OutboundLimitError;
    // The margin makes the window 5 % longer.
    expect(retryAfterMs).toBeGreaterThan(0);
    expect(retryAfterMs).toBeLessThanOrEqual(630);
    expect(answeredMs - startedMs).toBeLessThan(retryAfterMs);
    const early = await failure(limiter.run('a', task));
    expect(early).toBeInstanceOf(OutboundLimitError);
    await passed(answeredMs + retryAfterMs + 1);
    expect(await limiter.run('a', task)).toBe(4);
  });

  it('keeps identities and providers apart, also with equal names elsewhere', async () => {
    const here = place();
    const maps = await outbound({ name: 'maps', limit: 1, window: '1m' }, here);
    const mail = await outbound({ name: 'mail', limit: 1, window: '1m' }, here);
    await maps.acquire(['tenant', 'a']);

    await maps.acquire(['tenant', 'b']);
    await mail.acquire(['tenant', 'a']);
    expect(await failure(maps.acquire(['tenant', 'a']))).toBeInstanceOf(OutboundLimitError);
    expect(await maps.peek(['tenant', 'c'])).toMatchObject({ remaining: 1 });
  });

  it('never has a strict provider refuse, with calls of three processes waiting for room', async () => {
    const here = place();
    const limit: OutboundLimitOptions = {
      name: 'maps',
      limit: 5,
      window: '1s',
      margin: 0.3,
      maxWait: '10s',
    };
    const limiters = [await outbound(limit, here), await outbound(limit, here), await outbound(limit, here)];
    const provider = new Provider(5, 1000);

    await Promise.all(
      limiters.flatMap((limiter) => Array.from({ length: 7 }, () => limiter.run('a', provider.call))),
    );

    expect([provider.callsMs.length, provider.refused]).toEqual([21, 0]);
  });

  it('ends the wait when aborted, and takes nothing', async () => {
    const limiter = await outbound(
      { name: 'maps', limit: 1, window: '1m', maxWait: '2m', pace: true },
      place(),
    );
    await limiter.acquire('a');
    const controller = new AbortController();
    const waiting = failure(limiter.run('a', () => Promise.resolve('never'), { signal: controller.signal }));
    await eventually('the turn is reserved', async () => (await limiter.peek('a')).resetMs > 70_000);
    controller.abort(new Error('enough'));

    expect(await waiting).toMatchObject({ message: 'enough' });
    expect((await limiter.peek('a')).resetMs).toBeLessThanOrEqual(63_000);
    expect(
      await failure(limiter.run('a', () => Promise.resolve(1), { signal: AbortSignal.abort() })),
    ).toMatchObject({
      name: 'AbortError',
    });
  });

  it('does not begin a wait that is longer than it may be', async () => {
    for (const pace of [false, true]) {
      const limiter = await outbound({ name: 'maps', limit: 1, window: '1m', pace }, place());
      await limiter.acquire('a');
      const startedMs = performance.now();

      const error = await failure(limiter.acquire('a', { maxWait: '5s' }));

      expect(performance.now() - startedMs).toBeLessThan(3000);
      expect(error).toMatchObject({ code: 'ERR_OUTBOUND_LIMIT', reason: 'limit' });
      expect((error as OutboundLimitError).retryAfterMs).toBeGreaterThan(55_000);
    }
  });

  it('pauses all processes for as long as the provider says, whatever form the refusal has', async () => {
    const refusals: [name: string, task: () => Promise<unknown>, waitMs: [number, number]][] = [
      [
        'fetch',
        () => Promise.resolve(new Response(null, { status: 429, headers: { 'retry-after': '30' } })),
        [29_000, 30_000],
      ],
      [
        'axios',
        () =>
          Promise.reject(
            Object.assign(new Error('429'), { response: { status: 429, headers: { 'retry-after': '40' } } }),
          ),
        [39_000, 40_000],
      ],
      [
        'got',
        () => Promise.reject(Object.assign(new Error('429'), { response: { statusCode: 429, headers: {} } })),
        [59_000, 60_000],
      ],
      [
        'fields',
        () =>
          Promise.resolve(
            new Response(null, { status: 429, headers: { ratelimit: '"a";r=0;t=7, "b";r=5;t=90' } }),
          ),
        [6000, 7000],
      ],
      [
        'date',
        () =>
          Promise.resolve(
            new Response(null, {
              status: 503,
              headers: { 'retry-after': new Date(Date.now() + 20_000).toUTCString() },
            }),
          ),
        [15_000, 20_000],
      ],
    ];
    const here = place();
    const limit: OutboundLimitOptions = { name: 'maps', limit: 10, window: '1m' };
    const one = await outbound(limit, here);
    const other = await outbound(limit, here);
    for (const [id, task, [leastMs, mostMs]] of refusals) {
      const error = await failure(one.run(id, task));
      const later = await failure(other.acquire(id));

      for (const refused of [error, later]) {
        expect(refused).toMatchObject({ name: 'OutboundLimitError', reason: 'provider' });
        const { retryAfterMs } = refused as OutboundLimitError;
        expect([id, retryAfterMs > leastMs && retryAfterMs <= mostMs]).toEqual([id, true]);
      }
    }
  });

  it('cancels the body of an answer that nobody gets to see', async () => {
    const limiter = await outbound({ name: 'maps', limit: 10, window: '1m' }, place());
    let cancelled = 0;
    const body = new ReadableStream({ cancel: () => void (cancelled += 1) });

    await failure(limiter.run('a', () => Promise.resolve(new Response(body, { status: 429 }))));

    expect(cancelled).toBe(1);
  });

  it('does not shorten a pause, and refuses one that is no time', async () => {
    const limiter = await outbound({ name: 'maps', limit: 10, window: '1m' }, place());
    await limiter.pause('a', 30_000);
    await limiter.pause('a', 1000);

    const { retryAfterMs } = await limiter.peek('a');
    expect(retryAfterMs).toBeGreaterThan(25_000);
    for (const waitMs of [NaN, Infinity, -1, 86_400_001]) {
      expect(await failure(limiter.pause('b', waitMs))).toBeInstanceOf(ConfigurationError);
    }
    expect(await limiter.peek('b')).toMatchObject({ isPaused: false });
  });

  it('leaves other answers and errors alone', async () => {
    const limiter = await outbound({ name: 'maps', limit: 10, window: '1m' }, place());
    const busy = new Response(null, { status: 503 });
    const broken = new Error('broken');

    expect(await limiter.run('a', () => Promise.resolve(busy))).toBe(busy);
    expect(await limiter.run('a', () => Promise.resolve(null))).toBeNull();
    expect(await failure(limiter.run('a', () => Promise.reject(broken)))).toBe(broken);
    expect(await limiter.peek('a')).toMatchObject({ remaining: 7, retryAfterMs: 0, isPaused: false });
  });

  it('voids reserved turns of other processes when the provider refuses', async () => {
    const here = place();
    const limit: OutboundLimitOptions = {
      name: 'maps',
      limit: 100,
      window: '20s',
      pace: true,
      maxWait: '10s',
    };
    const one = await outbound(limit, here);
    const other = await outbound(limit, here);
    const startedMs = performance.now();
    // Its subscription has to stand before the pause comes; a turn that waits brings it up.
    await other.acquire('warm');
    await other.acquire('warm');
    await one.acquire('a');
    const atMs: number[] = [];
    const sleepers = Array.from({ length: 3 }, async () => {
      await other.acquire('a');
      atMs.push(performance.now());
    });
    await eventually('three turns are reserved', async () => (await one.peek('a')).resetMs > 600);

    const pausedMs = performance.now();
    await one.pause('a', 1500);
    await Promise.all(sleepers);

    expect(pausedMs - startedMs).toBeLessThan(10_000);
    expect(atMs.filter((ms) => ms < pausedMs + 1490)).toEqual([]);
    expect(gaps(atMs).every((gapMs) => gapMs > 150)).toBe(true);
  });

  it('is injected by name', async () => {
    @Injectable()
    class Service {
      constructor(
        @InjectOutbound('maps') readonly maps: OutboundLimiter,
        @Inject(getOutboundToken('maps')) readonly same: OutboundLimiter,
      ) {}
    }
    const app = await createModule({
      redis: { url: server.url },
      imports: [
        RateLimitModule.forRoot(),
        OutboundLimitModule.forFeature([{ name: 'maps', limit: 1, window: '1s' }]),
      ],
      providers: [Service],
    });
    open.push(app);

    const { maps, same } = app.get(Service);
    expect(maps).toBe(same);
    expect(maps.name).toBe('maps');
  });

  it.each<[string, Partial<OutboundLimitOptions>, RegExp]>([
    ['a margin below 0', { margin: -0.1 }, /margin -0\.1; give 0 to 1/],
    ['no name', { name: '' }, /no usable name/],
    ['a limit of 0', { limit: 0 }, /limit 0/],
    ['a window of 0', { window: 0 }, /window/],
    ['a maxWait without unit', { maxWait: '5' as never }, /maxWait/],
    ['an unknown onError', { onError: 'maybe' as never }, /onError/],
  ])('refuses %s', (_name, change, message) => {
    const options: OutboundLimitOptions = { name: 'maps', limit: 10, window: '1m', ...change };

    const register = () => OutboundLimitModule.forFeature([options]);
    expect(register).toThrow(ConfigurationError);
    expect(register).toThrow(message);
  });

  it('refuses two limits of one name', () => {
    const maps: OutboundLimitOptions = { name: 'maps', limit: 10, window: '1m' };

    expect(() => OutboundLimitModule.forFeature([maps, maps])).toThrow(/two limits of one name/);
  });
});

describeNative('OutboundLimiter and a redis-server', () => {
  let server: NativeServer;
  let observer: Redis;
  beforeAll(async () => {
    server = await startNative();
    observer = new Redis(server.url);
    observer.on('error', () => undefined);
  });
  afterAll(async () => {
    observer?.disconnect();
    await server?.stop();
  });

  /** Scripts the server has run. */
  async function scripts(): Promise<number> {
    const stats = await observer.info('commandstats');
    const calls = [...stats.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)];
    return calls.reduce((sum, [, count]) => sum + Number(count), 0);
  }

  it('paces calls of several processes in the order of arrival, one round trip each', async () => {
    const here: Place = { url: server.url, prefix: uniquePrefix() };
    const limit: OutboundLimitOptions = {
      name: 'maps',
      limit: 10,
      window: '1s',
      pace: true,
      margin: 0.3,
      maxWait: '30s',
    };
    const limiters = [await outbound(limit, here), await outbound(limit, here), await outbound(limit, here)];
    const provider = new Provider(10, 1000);
    // Once each, so that the script is known and the subscriptions stand.
    for (const [index, limiter] of limiters.entries()) {
      await limiter.acquire(`warm-${index}`);
      await limiter.acquire(`warm-${index}`);
    }
    const before = await scripts();

    const order: number[] = [];
    const calls: Promise<unknown>[] = [];
    for (let turn = 0; turn < 15; turn += 1) {
      calls.push(
        limiters[turn % 3]!.run('a', async () => {
          order.push(turn);
          return provider.call();
        }),
      );
      await eventually('it has arrived', async () => (await scripts()) >= before + turn + 1);
    }
    await Promise.all(calls);

    const asked = (await scripts()) - before;
    process.stderr.write(`outbound, paced: ${(asked / 15).toFixed(2)} round trips per call\n`);
    expect(asked).toBe(15);
    expect(order).toEqual(Array.from({ length: 15 }, (_, index) => index));
    expect([provider.callsMs.length, provider.refused]).toEqual([15, 0]);
    expect(Math.min(...gaps(provider.callsMs))).toBeGreaterThan(60);
  });

  it('keeps to its share, calls uncounted, or fails while Redis is away, and pauses all the same', async () => {
    const maps = (onError: 'local' | 'open' | 'closed'): OutboundLimitOptions => ({
      name: 'maps',
      limit: 10,
      window: '1m',
      onError,
    });
    const here: Place = {
      url: server.url,
      prefix: uniquePrefix(),
      module: { instances: 5, timeout: '200ms' },
    };
    const local = await outbound(maps('local'), here);
    const uncounted = await outbound(maps('open'), here);
    const closed = await outbound(maps('closed'), here);
    for (const limiter of [local, uncounted, closed]) await limiter.acquire('warm');
    await server.kill();

    await local.acquire('a');
    await local.acquire('a');
    const over = await failure(local.acquire('a'));
    for (let call = 0; call < 20; call += 1) await uncounted.acquire('a');
    const refused = await failure(closed.acquire('a'));
    const task429 = () =>
      Promise.resolve(new Response(null, { status: 429, headers: { 'retry-after': '30' } }));
    const pausedBy = await failure(local.run('b', task429));
    const paused = await failure(local.acquire('b'));

    // A fifth of ten.
    expect(over).toMatchObject({ code: 'ERR_OUTBOUND_LIMIT', reason: 'limit' });
    expect(refused).toBeInstanceOf(RateLimitUnavailableError);
    expect(isRednestError(refused, 'ERR_RATE_LIMIT_UNAVAILABLE')).toBe(true);
    for (const error of [pausedBy, paused]) expect(error).toMatchObject({ reason: 'provider' });
    await server.restart();
    await eventually('Redis decides again', async () => (await local.peek('a')).remaining === 10);
    await local.acquire('a');
  });
});

/** Resolves at a time of this process's clock. */
async function passed(ms: number): Promise<void> {
  await eventually('the time has come', () => performance.now() >= ms);
}

function gaps(times: readonly number[]): number[] {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted.slice(1).map((ms, index) => ms - sorted[index]!);
}
