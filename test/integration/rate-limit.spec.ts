import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Test, type TestingModule } from '@nestjs/testing';
import { ConfigurationError, KeyspaceRegistry, REDIS, RedisModule, type RedisClient } from 'rednest';
import { RateLimiter, RateLimitExceededError, RateLimitModule, type Policy } from 'rednest/rate-limit';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startEmbedded, startNative, type TestServer } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

const BURST: Policy = { name: 'burst', limit: 10, window: '1h' };
const DAY: Policy = { name: 'day', limit: 15, window: '1d' };

describe('RateLimiter on the embedded engine', () => {
  suite(startEmbedded);
});
describeNative('RateLimiter on redis-server', () => {
  suite(startNative);
});

function suite(startServer: () => Promise<TestServer>): void {
  const prefix = uniquePrefix();
  let server: TestServer;
  let app: TestingModule;
  let limiter: RateLimiter;
  let redis: RedisClient;

  beforeAll(async () => {
    server = await startServer();
    const log = new TestLog();
    app = await Test.createTestingModule({
      imports: [
        RedisModule.forRoot({ url: server.url, keyPrefix: prefix, app: 'test', env: {}, logger: log }),
        // Generous: these suites are about counting, on machines that may be busy.
        RateLimitModule.forRoot({ timeout: '5s', onError: 'closed', denyCache: false }),
      ],
    })
      .setLogger(log)
      .compile();
    await app.init();
    limiter = app.get(RateLimiter);
    redis = app.get<RedisClient>(REDIS);
  });

  afterAll(async () => {
    await app?.close();
    await server?.stop();
  });

  const allKeys = async (): Promise<string[]> => (await redis.keys(`${prefix}:*`)).sort();

  it('lets 10 of 10 through and refuses the 11th', async () => {
    const remaining: number[] = [];
    for (let i = 0; i < 10; i++) {
      const decision = await limiter.consume('eleven', BURST);
      expect(decision).toMatchObject({ allowed: true, violated: [], retryAfterMs: 0, source: 'redis' });
      remaining.push(decision.policies[0]!.remaining);
    }

    const eleventh = await limiter.consume('eleven', BURST);

    expect(remaining).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    expect(eleventh).toMatchObject({ allowed: false, violated: ['burst'] });
    expect(eleventh.retryAfterMs).toBeGreaterThan(3_590_000);
    expect(eleventh.retryAfterMs).toBeLessThanOrEqual(3_600_000 * 1.05);
    expect(eleventh.policies).toEqual([
      {
        name: 'burst',
        limit: 10,
        remaining: 0,
        windowMs: 3_600_000,
        resetMs: expect.any(Number),
        waitMs: eleventh.retryAfterMs,
        blocked: false,
      },
    ]);
    await expect(limiter.enforce('eleven', BURST)).rejects.toBeInstanceOf(RateLimitExceededError);
    await expect(limiter.enforce('eleven', BURST)).rejects.toMatchObject({
      code: 'ERR_RATE_LIMIT_EXCEEDED',
      decision: { allowed: false },
    });
  });

  it('admits exactly 10 of 100 concurrent requests', async () => {
    const id = ['race', uniquePrefix()];

    const decisions = await Promise.all(Array.from({ length: 100 }, () => limiter.consume(id, BURST)));

    const admitted = decisions.filter(({ allowed }) => allowed).length;
    expect({ id, admitted }).toEqual({ id, admitted: 10 });
  });

  it('takes from all policies or from none', async () => {
    for (let i = 0; i < 10; i++) await limiter.enforce('both', [BURST, DAY]);

    const refused = await limiter.consume('both', [BURST, DAY]);
    await limiter.reset('both', BURST);
    const costly = await limiter.consume('both', [BURST, DAY], { cost: 6 });
    const fits = await limiter.consume('both', [BURST, DAY], { cost: 5 });

    expect(refused).toMatchObject({ allowed: false, violated: ['burst'] });
    expect(refused.policies.map(({ remaining }) => remaining)).toEqual([0, 5]);
    expect(costly).toMatchObject({ allowed: false, violated: ['day'] });
    expect(costly.policies.map(({ remaining }) => remaining)).toEqual([10, 5]);
    expect(fits.allowed).toBe(true);
    expect(fits.policies.map(({ remaining }) => remaining)).toEqual([5, 0]);
  });

  it('names every violated policy and the longest wait', async () => {
    const short: Policy = { name: 'short', limit: 1, window: '1m' };
    const long: Policy = { name: 'long', limit: 1, window: '1h' };
    await limiter.consume('every', [short, long]);

    const { violated, retryAfterMs } = await limiter.consume('every', [short, long]);

    expect(violated).toEqual(['short', 'long']);
    expect(retryAfterMs).toBeGreaterThan(3_590_000);
  });

  it('writes nothing on a refusal, whatever it costs', async () => {
    await limiter.consume('silent', [BURST, DAY], { cost: 8 });
    const keys = (await allKeys()).filter((key) => key.includes('silent'));
    const before = await Promise.all(keys.map((key) => redis.getBuffer(key)));
    const setsBefore = await setCalls(redis);
    expect(setsBefore).toBeGreaterThan(0);

    const refusals = [
      await limiter.consume('silent', BURST, { cost: 3 }),
      await limiter.consume('silent', [DAY, BURST], { cost: 10 }),
      await limiter.peek('silent', [DAY, BURST]),
    ];

    expect(refusals.map(({ allowed }) => allowed)).toEqual([false, false, true]);
    expect(await Promise.all(keys.map((key) => redis.getBuffer(key)))).toEqual(before);
    expect(await setCalls(redis)).toBe(setsBefore);
    expect((await limiter.consume('silent', BURST, { cost: 2 })).allowed).toBe(true);
  });

  it('looks without counting, and forgets on reset', async () => {
    const unused = await limiter.peek('peeked', BURST);
    await limiter.consume('peeked', BURST, { cost: 9 });
    const used = await limiter.peek('peeked', BURST, { cost: 2 });
    await limiter.reset('peeked', [BURST, DAY]);

    expect(unused).toMatchObject({ allowed: true, policies: [{ remaining: 10, resetMs: 0 }] });
    expect(used).toMatchObject({ allowed: false, violated: ['burst'], policies: [{ remaining: 1 }] });
    expect((await limiter.peek('peeked', BURST)).policies[0]!.remaining).toBe(10);
  });

  it('counts limits above 65535, and survives a limit that is lowered', async () => {
    const big: Policy = { name: 'big', limit: 1_000_000_000, window: '1h' };
    await limiter.consume('big', big, { cost: 999_999_999 });

    expect((await limiter.consume('big', big)).policies[0]!.remaining).toBe(0);
    expect((await limiter.consume('big', big)).allowed).toBe(false);
    const lowered = await limiter.consume('big', { ...big, limit: 10 });
    expect(lowered).toMatchObject({ allowed: false, policies: [{ remaining: 0 }] });
    const raised: Policy = { name: 'raised', limit: 5, window: '1h' };
    await limiter.consume('big', raised, { cost: 5 });
    const wide = await limiter.consume('big', { ...raised, limit: 100_000 }, { cost: 99_995 });
    expect(wide).toMatchObject({ allowed: true, policies: [{ remaining: 0 }] });
  });

  it('keeps identities apart that would meet in a joined key', async () => {
    const one: Policy = { name: 'one', limit: 1, window: '1h' };
    const ids = [['a:b', 'c'], ['a', 'b:c'], ['a:b:c'], ['a}', '{b'], ['*'], ['a/b', 'c'], ['a', 'b/c']];

    for (const id of ids)
      expect({ id, ...(await limiter.consume(id, one)) }).toMatchObject({ id, allowed: true });
    for (const id of ids)
      expect({ id, ...(await limiter.consume(id, one)) }).toMatchObject({ id, allowed: false });
    await limiter.reset('*', one);
    expect((await limiter.consume(['a:b', 'c'], one)).allowed).toBe(false);
  });

  it('puts a long identity in a short key', async () => {
    await limiter.consume('x'.repeat(10_000), BURST);

    expect(Math.max(...(await allKeys()).map((key) => key.length))).toBeLessThan(128);
  });

  it('answers the first call on an empty script cache', async () => {
    await redis.script('FLUSH');

    expect((await limiter.consume('cold', BURST)).source).toBe('redis');
    expect((await limiter.consume('cold', BURST)).policies[0]!.remaining).toBe(8);
  });

  it('refuses calls that no answer could be right for', async () => {
    await expect(limiter.consume('bad', BURST, { cost: 11 })).rejects.toBeInstanceOf(ConfigurationError);
    await expect(limiter.consume('bad', BURST, { cost: 0.5 })).rejects.toBeInstanceOf(ConfigurationError);
    await expect(limiter.consume('', BURST)).rejects.toBeInstanceOf(ConfigurationError);
    await expect(limiter.consume('bad', [])).rejects.toBeInstanceOf(ConfigurationError);
    await expect(limiter.consume('bad', { ...BURST, limit: 0 })).rejects.toBeInstanceOf(ConfigurationError);
  });

  it('never admits more than the limit in a trailing window of the real clock', async () => {
    const policy: Policy = { name: 'trail', limit: 20, window: '200ms' };
    const id = ['trail', uniquePrefix()];
    const admitted: { startMs: number; endMs: number }[] = [];
    const untilMs = performance.now() + 700;
    const client = async (): Promise<void> => {
      while (performance.now() < untilMs) {
        const startMs = performance.now();
        const { allowed, retryAfterMs } = await limiter.consume(id, policy);
        if (allowed) admitted.push({ startMs, endMs: performance.now() });
        else await new Promise((resolve) => setTimeout(resolve, Math.min(retryAfterMs, 5)));
      }
    };

    await Promise.all([client(), client(), client(), client()]);

    admitted.sort((a, b) => a.endMs - b.endMs);
    const spans = admitted.slice(20).map(({ endMs }, index) => {
      const startMs = Math.min(...admitted.slice(index, index + 21).map((entry) => entry.startMs));
      return endMs - startMs;
    });
    expect(admitted.length).toBeGreaterThanOrEqual(40);
    // Any 21 admitted requests span a whole window; 2 ms for two clocks that tick differently.
    expect({ id, shortest: Math.min(...spans) >= 198 }).toEqual({ id, shortest: true });
  });

  it('leaves no key without a time to live, and declares its keys', async () => {
    const keys = await allKeys();
    const ttls = await Promise.all(keys.map((key) => redis.pttl(key)));

    expect(keys.length).toBeGreaterThan(10);
    // The time of a reset outlives every receipt from before it, which is two windows at most.
    const longestMs = (key: string) => 86_400_000 * (key.includes('}:r:') ? 2 : 1.05) + 1000;
    expect(ttls.every((ttl, index) => ttl > 0 && ttl <= longestMs(keys[index]!))).toBe(true);
    expect(keys.every((key) => key.startsWith(`${prefix}:rl:{`))).toBe(true);
    expect(app.get(KeyspaceRegistry).table()).toContainEqual(
      expect.objectContaining({
        pattern: '<prefix>:rl:{identity}:s:<counter>:<precision>:<window>',
        ttlMs: 'per-call',
      }),
    );
  });
}

async function setCalls(redis: RedisClient): Promise<number> {
  const stats = await redis.info('commandstats');
  return Number(/cmdstat_set:calls=(\d+)/.exec(stats)?.[1] ?? 0);
}
