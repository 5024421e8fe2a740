import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Controller, Get } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import type { TestingModule } from '@nestjs/testing';
import { Redis } from 'ioredis';
import { REDIS, type RedisClient } from 'rednest';
import {
  RateLimit,
  RateLimiter,
  RateLimitGuard,
  RateLimitModule,
  RateLimitUnavailableError,
  type Policy,
} from 'rednest/rate-limit';
import { CONSUME } from '../../src/rate-limit/rate-limit.scripts.js';
import { createModule, inject } from '../support/app.js';
import { demandOf, worstWindow } from '../support/limiter/conformance.js';
import { memorySubject, scriptSubject } from '../support/limiter/subjects.js';
import { describeNative } from '../support/needs.js';
import { freePort } from '../support/ports.js';
import { uniquePrefix } from '../support/prefix.js';
import { startNative, type NativeServer } from '../support/servers.js';

/** A moment of today in microseconds. */
const EPOCH_US = 1_790_000_000_123_456;

@Controller()
class Routes {
  @Get('limited')
  @RateLimit({ name: 'limited', limit: 1, window: '1h' })
  limited(): string {
    return 'ok';
  }
}

/**
 * Mistakes that limiters in the field make. Each test first shows the mistake with the naive code, then that
 * ours does not make it.
 */
describeNative('mistakes of other limiters', () => {
  const prefix = uniquePrefix();
  let server: NativeServer;
  let module: TestingModule;
  let limiter: RateLimiter;
  let redis: RedisClient;

  beforeAll(async () => {
    server = await startNative();
    module = await createModule({
      redis: { url: server.url, keyPrefix: prefix },
      imports: [RateLimitModule.forRoot({ timeout: '5s', denyCache: false })],
    });
    limiter = inject(module, RateLimiter);
    redis = module.get<RedisClient>(REDIS);
  });

  afterAll(async () => {
    await module?.close();
    await server?.stop();
  });

  /** INCR with a time to live, as most fixed windows are written. */
  const incr = (key: string, cost = 1, ttlMs = 3_600_000): Promise<number> =>
    redis.eval(
      "local n = redis.call('INCRBY', KEYS[1], ARGV[1]) if n == tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return n",
      1,
      key,
      cost,
      ttlMs,
    ) as Promise<number>;
  const naiveKey = (): string => `${prefix}:naive:${uniquePrefix()}`;
  const ttlOf = async (id: string): Promise<number[]> =>
    Promise.all((await redis.keys(`${prefix}:rl:{${id}}:*`)).map((key) => redis.pttl(key)));
  const remaining = async (id: string, policy: Policy): Promise<number> =>
    (await limiter.peek(id, policy)).policies[0]!.remaining;
  const scripts = async (): Promise<number> =>
    Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0);

  describe('windows and times to live', () => {
    it('a window of half a second or of 1.9 s, cut down to whole seconds', async () => {
      const [half, longer] = [naiveKey(), naiveKey()];
      const naive = async (key: string, seconds: number): Promise<void> => {
        const whole = Math.floor(seconds);
        if (whole > 0) await redis.set(key, 1, 'EX', whole);
        else await redis.set(key, 1);
      };
      await naive(half, 0.5);
      await naive(longer, 1.9);
      expect(await redis.pttl(half)).toBe(-1);
      expect(await redis.pttl(longer)).toBeLessThanOrEqual(1000);

      for (const [window, ms] of [
        ['500ms', 500],
        ['1.9s', 1900],
      ] as const) {
        const id = uniquePrefix();
        const policy: Policy = { name: 'p', limit: 1, window, algorithm: 'fixed' };
        await limiter.consume(id, policy);
        const { retryAfterMs } = await limiter.consume(id, policy);
        expect(retryAfterMs).toBeGreaterThan(ms - 400);
        expect(retryAfterMs).toBeLessThanOrEqual(ms);
        expect((await ttlOf(id))[0]).toBeGreaterThan(0);
      }
    });

    it('a limit in the script compared with text, so that the time to live is never set', async () => {
      const key = naiveKey();
      const naive =
        "local n = redis.call('INCRBY', KEYS[1], ARGV[1]) if n == ARGV[1] then redis.call('PEXPIRE', KEYS[1], 1000) end return n";
      await redis.eval(naive, 1, key, 1);
      expect(await redis.pttl(key)).toBe(-1);

      const id = uniquePrefix();
      await limiter.consume(id, { name: 'p', limit: 5, window: '1s', algorithm: 'fixed' });
      expect((await ttlOf(id))[0]).toBeGreaterThan(0);
    });

    it('a crash between INCR and EXPIRE, which locks out for good', async () => {
      const key = naiveKey();
      await redis.incr(key); // ... and here the process dies
      expect(await redis.pttl(key)).toBe(-1);

      const id = uniquePrefix();
      const policy: Policy = { name: 'p', limit: 5, window: '1h' };
      await limiter.consume(id, policy);
      const [own] = await redis.keys(`${prefix}:rl:{${id}}:*`);
      expect(await redis.pttl(own!)).toBeGreaterThan(0);
      // Even a key that lost its time to live has one again after the next write.
      await redis.persist(own!);
      await limiter.consume(id, policy);
      expect(await redis.pttl(own!)).toBeGreaterThan(0);
    });

    it('milliseconds given to EXPIRE, which takes seconds', async () => {
      const key = naiveKey();
      await redis.zadd(key, 1, 'a');
      await redis.expire(key, 60_000);
      expect(await redis.pttl(key)).toBeGreaterThan(16 * 3_600_000);

      const id = uniquePrefix();
      await limiter.consume(id, { name: 'p', limit: 5, window: '1m', algorithm: 'sliding-log' });
      expect((await ttlOf(id))[0]).toBeLessThanOrEqual(60_001);
    });

    it('a decrement after the end of the window, which leaves -1 for ever', async () => {
      const key = naiveKey();
      await redis.decr(key);
      expect([await redis.get(key), await redis.pttl(key)]).toEqual(['-1', -1]);

      const id = uniquePrefix();
      const policy: Policy = { name: 'p', limit: 5, window: '1h', algorithm: 'fixed' };
      const { receipt } = await limiter.consume(id, policy);
      await limiter.reset(id, policy); // the window is over
      await limiter.refund(receipt!);
      // The time of the reset, and no counter.
      expect(await redis.keys(`${prefix}:rl:{${id}}:*`)).toEqual([`${prefix}:rl:{${id}}:r:p`]);
      expect((await ttlOf(id))[0]).toBeGreaterThan(0);
    });

    it('a reward after the window has rolled, which allows more than the limit', async () => {
      const key = naiveKey();
      await redis.decrby(key, 1); // a reward, meant for the window before
      let allowed = 0;
      for (let call = 0; call < 6; call += 1) if ((await incr(key)) <= 3) allowed += 1;
      expect(allowed).toBe(4);

      for (const algorithm of ['sliding', 'sliding-log', 'gcra', 'fixed'] as const) {
        const id = uniquePrefix();
        const policy: Policy = { name: 'p', limit: 3, window: '1h', algorithm };
        await limiter.reward(id, policy, 1);
        let own = 0;
        for (let call = 0; call < 6; call += 1) if ((await limiter.consume(id, policy)).allowed) own += 1;
        expect({ algorithm, own }).toEqual({ algorithm, own: 3 });
      }
    });

    it('a block that is shorter than the window and ends the window early', async () => {
      const key = naiveKey();
      await redis.set(key, 3, 'PX', 2000);
      await redis.set(key, 4, 'PX', 1000); // the block replaces the time to live
      expect(await redis.pttl(key)).toBeLessThanOrEqual(1000);

      const id = uniquePrefix();
      const policy: Policy = { name: 'p', limit: 3, window: '1h', algorithm: 'fixed', block: { for: '1s' } };
      for (let call = 0; call < 4; call += 1) await limiter.consume(id, policy);
      const [counter] = await redis.keys(`${prefix}:rl:{${id}}:f:*`);
      expect(await redis.pttl(counter!)).toBeGreaterThan(3_500_000);
      // The window is what there is to wait for, not the block.
      expect((await limiter.reward(id, policy)).policies[0]!.blocked).toBe(true);
    });

    it('a block of 0, which the server refuses', async () => {
      await expect(redis.set(naiveKey(), 1, 'PX', 0)).rejects.toThrow(/invalid expire/);

      const policy: Policy = { name: 'p', limit: 1, window: '1h', block: { for: 0 } };
      await expect(limiter.consume('x', policy)).rejects.toThrow(/block\.for.*outside/);
      const id = uniquePrefix();
      const without: Policy = { name: 'p', limit: 1, window: '1h' };
      await limiter.consume(id, without);
      expect((await limiter.consume(id, without)).policies[0]).toMatchObject({ blocked: false });
    });

    it('the time of a block computed from PTTL and the wall clock', async () => {
      const key = naiveKey();
      await redis.set(key, 1, 'PX', 60_000);
      expect((await redis.pttl(key)) - Date.now() / 1000).toBeLessThan(0);

      const id = uniquePrefix();
      const policy: Policy = { name: 'p', limit: 1, window: '1s', block: { for: '1m' } };
      await limiter.consume(id, policy);
      const { retryAfterMs } = await limiter.consume(id, policy);
      expect(retryAfterMs).toBe(60_000);
    });
  });

  describe('counting', () => {
    it('several limits taken one by one, so that a refusal burns the others', async () => {
      const [short, long] = [naiveKey(), naiveKey()];
      let passed = 0;
      for (let call = 0; call < 9; call += 1) {
        const [a, b] = await Promise.all([incr(short), incr(long)]);
        if (a <= 10 && b <= 3) passed += 1;
      }
      expect([passed, await redis.get(short)]).toEqual([3, '9']);

      const id = uniquePrefix();
      const policies: Policy[] = [
        { name: 'short', limit: 10, window: '1h' },
        { name: 'long', limit: 3, window: '1d' },
      ];
      for (let call = 0; call < 9; call += 1) await limiter.consume(id, policies);
      expect(await remaining(id, policies[0]!)).toBe(7);
    });

    it('one round trip per limit', async () => {
      const before = await scripts();
      const keys = [naiveKey(), naiveKey(), naiveKey()];
      const sha = (await redis.script('LOAD', "return redis.call('INCR', KEYS[1])")) as string;
      for (const key of keys) await redis.evalsha(sha, 1, key);
      expect((await scripts()) - before).toBe(3);

      const own = await scripts();
      const names = ['a', 'b', 'c'];
      await limiter.consume(
        uniquePrefix(),
        names.map((name) => ({ name, limit: 10, window: '1h' })),
      );
      expect((await scripts()) - own).toBe(1);
    });

    it.each(['sliding', 'sliding-log', 'gcra', 'fixed'] as const)(
      'a cost that does not fit and is counted all the same (%s)',
      async (algorithm) => {
        const key = naiveKey();
        const naive: boolean[] = [];
        for (const cost of [9, 5, 1]) naive.push((await incr(key, cost)) <= 10);
        expect(naive).toEqual([true, false, false]);

        const id = uniquePrefix();
        const policy: Policy = { name: 'p', limit: 10, window: '1h', algorithm };
        const own: boolean[] = [];
        for (const cost of [9, 5, 1]) own.push((await limiter.consume(id, policy, { cost })).allowed);
        expect(own).toEqual([true, false, true]);
      },
    );

    it('a cost larger than what is left, which burns the window', async () => {
      const key = naiveKey();
      const naive: boolean[] = [];
      for (const cost of [4, 8, 1]) naive.push((await incr(key, cost)) <= 10);
      expect(naive).toEqual([true, false, false]);

      const id = uniquePrefix();
      const policy: Policy = { name: 'p', limit: 10, window: '1h', algorithm: 'fixed' };
      const own: boolean[] = [];
      for (const cost of [4, 8, 1]) own.push((await limiter.consume(id, policy, { cost })).allowed);
      expect(own).toEqual([true, false, true]);
      await expect(limiter.consume(id, policy, { cost: 11 })).rejects.toThrow(/above the limit 10/);
    });

    it('refused calls that count, and a fixed window that lets twice the limit through', async () => {
      const key = naiveKey();
      for (let call = 0; call < 12; call += 1) await incr(key);
      expect(await redis.get(key)).toBe('12');
      const burst = [
        0,
        ...Array.from({ length: 9 }, () => 999_000),
        ...Array.from({ length: 10 }, () => 1_001_000),
      ];
      const window = { endsUs: 0, used: 0 };
      const naive = burst.flatMap((atUs) => {
        if (atUs >= window.endsUs) Object.assign(window, { endsUs: atUs + 1_000_000, used: 0 });
        return (window.used += 1) <= 10 ? [{ atUs, cost: 1 }] : [];
      });
      expect(worstWindow(naive, 1_000_000)).toBe(19);

      const demand = demandOf({ name: 'p', limit: 10, window: '1s' });
      const subject = scriptSubject(redis);
      const own: { atUs: number; cost: number }[] = [];
      let waitUs = 0;
      for (const atUs of burst) {
        const reply = await subject.evaluate(EPOCH_US + atUs, 'consume', [demand], 0);
        if (reply[0] === 1) own.push({ atUs, cost: 1 });
        else waitUs = reply[4]!;
      }
      expect(worstWindow(own, 1_000_000)).toBe(10);
      expect(waitUs).toBeGreaterThan(0);
    });

    it('a "token bucket" whose window every call extends, until nobody is let through', async () => {
      // 3 per second; one call each 600 ms is slower than that.
      const window = { count: 0, expiresUs: 0 };
      const calls = Array.from({ length: 10 }, (_, index) => EPOCH_US + index * 600_000);
      const naive = calls.filter((atUs) => {
        if (atUs >= window.expiresUs) window.count = 0;
        window.count += 1;
        window.expiresUs = atUs + 1_000_000; // EXPIRE on every call
        return window.count <= 3;
      });
      expect(naive).toHaveLength(3);

      const subject = scriptSubject(redis);
      for (const algorithm of ['gcra', 'sliding', 'fixed'] as const) {
        const demand = demandOf({ name: 'p', limit: 3, window: '1s', algorithm });
        const own: number[] = [];
        for (const atUs of calls) own.push((await subject.evaluate(atUs, 'consume', [demand], 0))[0]!);
        expect(own).toEqual(calls.map(() => 1));
      }
    });

    it('looking before counting, so that all who look at the same time pass', async () => {
      const key = naiveKey();
      const naive = await Promise.all(
        Array.from({ length: 50 }, async () => {
          if (await redis.exists(key)) return false;
          await redis.setex(key, 60, '1');
          return true;
        }),
      );
      expect(naive.filter(Boolean)).toHaveLength(50);

      const id = uniquePrefix();
      const policy: Policy = { name: 'p', limit: 1, window: '1h' };
      const own = await Promise.all(Array.from({ length: 50 }, () => limiter.consume(id, policy)));
      expect(own.filter(({ allowed }) => allowed)).toHaveLength(1);
    });
  });

  describe('clocks', () => {
    it('the clock of the caller, which gives two hosts two quotas', async () => {
      const skews = [0, 125_000];
      const base = naiveKey();
      let naive = 0;
      for (const skewMs of skews) {
        const window = Math.floor((Date.now() + skewMs) / 60_000);
        for (let call = 0; call < 10; call += 1) if ((await incr(`${base}:${window}`)) <= 10) naive += 1;
      }
      expect(naive).toBe(20);

      const id = uniquePrefix();
      const policy: Policy = { name: 'p', limit: 10, window: '1m' };
      let own = 0;
      const real = Date.now.bind(Date);
      for (const skewMs of skews) {
        const clock = jest.spyOn(Date, 'now').mockImplementation(() => real() + skewMs);
        for (let call = 0; call < 10; call += 1) if ((await limiter.consume(id, policy)).allowed) own += 1;
        clock.mockRestore();
      }
      expect(own).toBe(10);
    });

    it('members made of the time and a random number, which overwrite each other', async () => {
      const key = naiveKey();
      const members = Array.from(
        { length: 20_000 },
        () => `1790000000000-${Math.floor(Math.random() * 1e6)}`,
      );
      for (let at = 0; at < members.length; at += 1000) {
        await redis.zadd(
          key,
          ...members.slice(at, at + 1000).flatMap((member) => [1_790_000_000_000, member]),
        );
      }
      expect(await redis.zcard(key)).toBeLessThan(members.length);
      await redis.unlink(key);

      const subject = scriptSubject(redis);
      const demand = demandOf({ name: 'p', limit: 1000, window: '1h', algorithm: 'sliding-log' });
      let own = 0;
      for (let call = 0; call < 1005; call += 1) {
        own += (await subject.evaluate(EPOCH_US, 'consume', [demand], 0))[0]!;
      }
      expect(own).toBe(1000);
    });
  });

  describe('keys', () => {
    it('parts joined without escaping, so that two identities share a counter', async () => {
      const naive = (...parts: string[]): string => ['ratelimit', ...parts].join(':');
      expect(naive('a:b', 'c')).toBe(naive('a', 'b:c'));

      const policy: Policy = { name: 'p', limit: 1, window: '1h' };
      const unique = uniquePrefix();
      const first = await limiter.consume([`${unique}:b`, 'c'], policy);
      const second = await limiter.consume([unique, 'b:c'], policy);
      expect([first.allowed, second.allowed]).toEqual([true, true]);
    });

    it('an identity used as a pattern, so that "*" resets everybody', async () => {
      const base = naiveKey();
      await Promise.all([redis.set(`${base}:a`, 1), redis.set(`${base}:b`, 1)]);
      const found = await redis.keys(`${base}:*`);
      await redis.del(...found);
      expect(found).toHaveLength(2);

      const policy: Policy = { name: 'p', limit: 1, window: '1h' };
      const id = uniquePrefix();
      await limiter.consume(id, policy);
      await limiter.reset('*', policy);
      await limiter.reset([id, '*'], policy);
      expect(await remaining(id, policy)).toBe(0);
    });

    it('a header that the client writes as identity, and an answer without a word about the limit', async () => {
      const naive = (headers: Record<string, string>): string => headers['x-forwarded-for'] ?? 'unknown';
      expect(naive({ 'x-forwarded-for': '1' })).not.toBe(naive({ 'x-forwarded-for': '2' }));

      const app = await createModule({
        redis: { url: server.url },
        imports: [RateLimitModule.forRoot({ timeout: '5s' })],
        controllers: [Routes],
        providers: [{ provide: APP_GUARD, useClass: RateLimitGuard }],
      });
      const http = app.createNestApplication({ logger: false });
      await http.listen(0, '127.0.0.1');
      try {
        const get = async (from: string): Promise<Response> =>
          fetch(`${await http.getUrl()}/limited`, { headers: { 'x-forwarded-for': from } });
        const statuses = [(await get('1')).status];
        const refused = await get('2');
        await refused.text();
        expect([...statuses, refused.status]).toEqual([200, 429]);
        expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(3500);
        expect(refused.headers.get('ratelimit')).toMatch(/^"limited";r=0;t=\d+$/);
        expect(refused.headers.get('ratelimit-policy')).toBe('"limited";q=1;w=3600');
      } finally {
        await http.close();
      }
    });
  });

  describe('costs', () => {
    it('the source of a script sent with every call', async () => {
      const bytes = async (calls: () => Promise<unknown>): Promise<number> => {
        const read = async (): Promise<number> =>
          Number(/total_net_input_bytes:(\d+)/.exec(await redis.info('stats'))![1]);
        const before = await read();
        await calls();
        return (await read()) - before;
      };
      const id = uniquePrefix();
      const policy: Policy = { name: 'p', limit: 1000, window: '1h' };
      await limiter.consume(id, policy);

      const naive = await bytes(() => redis.eval(CONSUME.lua, 1, naiveKey(), 0, 's', 1, 10, 1_000_000, 20));
      const own = await bytes(() => limiter.consume(id, policy));

      expect(naive).toBeGreaterThan(1000);
      expect(own).toBeLessThan(300);
    });

    it('a flag of one vendor in the script, which other servers refuse', async () => {
      await expect(redis.eval('#!lua flags=allow-key-locking\nreturn 1', 0)).rejects.toThrow(/flag/);

      expect(CONSUME.lua.startsWith('#!')).toBe(false);
      expect((await limiter.consume(uniquePrefix(), { name: 'p', limit: 1, window: '1h' })).source).toBe(
        'redis',
      );
    });

    it('a member of a sorted set for every request', async () => {
      const key = naiveKey();
      for (let call = 0; call < 500; call += 1) {
        await redis.zadd(key, 1_790_000_000_000 + call, `1790000000000-${call}${'0'.repeat(5)}`);
      }
      const naive = Number(await redis.memory('USAGE', key)) / 500;
      expect(naive).toBeGreaterThan(60);

      const id = uniquePrefix();
      const policy: Policy = { name: 'p', limit: 500, window: '1h', algorithm: 'sliding-log' };
      const decision = await limiter.consume(id, policy, { cost: 500 });
      const [own] = await redis.keys(`${prefix}:rl:{${id}}:l:*`);
      expect(Number(await redis.memory('USAGE', own!)) / 500).toBeLessThan(16);
      // More than a yes or no.
      expect(decision.policies[0]).toMatchObject({ limit: 500, remaining: 0, windowMs: 3_600_000 });
    });

    it('a list of hits that is searched on every call', async () => {
      const cost = async (call: () => unknown, calls: number): Promise<number> => {
        const startedMs = performance.now();
        for (let index = 0; index < calls; index += 1) await call();
        return (performance.now() - startedMs) / calls;
      };
      const naive = (hits: number): (() => number) => {
        let times = Array.from({ length: hits }, () => Date.now() + 1e6);
        return () => {
          times = times.filter((time) => time > Date.now());
          return times.push(Date.now() + 1e6);
        };
      };
      const memory = (hits: number): (() => Promise<number[]>) => {
        const subject = memorySubject();
        const demand = demandOf({ name: 'p', limit: 1_000_000, window: '1h' });
        let nowUs = EPOCH_US;
        const call = (): Promise<number[]> => subject.evaluate((nowUs += 10), 'consume', [demand], 0);
        return Object.assign(call, {
          ready: subject.evaluate(nowUs, 'consume', [{ ...demand, cost: hits }], 0),
        });
      };
      await cost(memory(1), 500);

      expect((await cost(naive(40_000), 30)) / (await cost(naive(1000), 30))).toBeGreaterThan(5);
      expect((await cost(memory(40_000), 500)) / (await cost(memory(1000), 500))).toBeLessThan(5);
    });
  });

  describe('errors', () => {
    it('an error inside a pipeline that becomes a remaining of NaN', async () => {
      const key = naiveKey();
      await redis.rpush(key, 'not a number');
      const results = await redis.pipeline().incr(key).pexpire(key, 1000).exec();
      expect(10 - Number(results![0]![1])).toBeNaN();

      const id = uniquePrefix();
      const policy: Policy = { name: 'p', limit: 10, window: '1h', algorithm: 'gcra' };
      await limiter.consume(id, policy);
      const [own] = await redis.keys(`${prefix}:rl:{${id}}:g:*`);
      await redis.del(own!);
      await redis.rpush(own!, 'not a number');
      const decision = await limiter.consume(id, policy);
      expect(decision).toMatchObject({ allowed: true, source: 'local', policies: [{ remaining: 9 }] });
      await expect(limiter.consume(id, { ...policy, onError: 'closed' })).rejects.toBeInstanceOf(
        RateLimitUnavailableError,
      );
    });

    it('a connection that retries for ever, so that a call never ends', async () => {
      const url = `redis://127.0.0.1:${await freePort()}`;
      // Its socket never opens: the time to close it would only keep the tests from ending.
      const eternal = new Redis(url, { maxRetriesPerRequest: null, disconnectTimeout: 0 });
      eternal.on('error', () => undefined);
      const away = await createModule({
        redis: { url, boot: 'lazy' },
        imports: [RateLimitModule.forRoot()],
      });
      try {
        const never = eternal.incr('x').then(
          () => 'settled',
          () => 'settled',
        );
        const own = inject(away, RateLimiter).consume('x', { name: 'p', limit: 1, window: '1h' });

        const first = await Promise.race([never, own]);

        expect(first).toMatchObject({ source: 'local' });
        const state = await Promise.race([never, Promise.resolve('pending')]);
        expect(state).toBe('pending');
      } finally {
        eternal.disconnect();
        await away.close();
      }
    });
  });
});
