import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { ConfigurationError, REDIS, type RedisClient } from 'rednest';
import {
  ConcurrencyExceededError,
  RateLimiter,
  RateLimitExceededError,
  RateLimitModule,
  type Policy,
} from 'rednest/rate-limit';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startEmbedded, startNative, type TestServer } from '../support/servers.js';

const TEN: Policy = { name: 'ten', limit: 10, window: '1h' };
const PACED: Policy = { name: 'paced', limit: 20, window: '1s', algorithm: 'gcra', burst: 1 };
const EVERY: readonly Policy[] = [
  { ...TEN, name: 'sliding' },
  { ...TEN, name: 'log', algorithm: 'sliding-log' },
  { ...TEN, name: 'gcra', algorithm: 'gcra' },
  { ...TEN, name: 'fixed', algorithm: 'fixed' },
  { ...TEN, name: 'aligned', algorithm: 'fixed', align: 'utc' },
];

describe('RateLimiter methods on the embedded engine', () => {
  suite(startEmbedded);
});
describeNative('RateLimiter methods on redis-server', () => {
  suite(startNative);
});

function suite(start: () => Promise<TestServer>): void {
  const prefix = uniquePrefix();
  let server: TestServer;
  let module: TestingModule;
  let other: TestingModule;
  let limiter: RateLimiter;
  let redis: RedisClient;

  const open = (options = {}): Promise<TestingModule> =>
    createModule({
      redis: { url: server.url, keyPrefix: prefix },
      imports: [RateLimitModule.forRoot({ timeout: '5s', onError: 'closed', ...options })],
    });

  beforeAll(async () => {
    server = await start();
    // Long, so that only an invalidation can end a refusal that is remembered.
    module = await open({ denyCache: { maxAge: '1m' } });
    other = await open();
    limiter = inject(module, RateLimiter);
    redis = module.get<RedisClient>(REDIS);
  });

  afterAll(async () => {
    await module?.close();
    await other?.close();
    await server?.stop();
  });

  const remaining = async (id: string, policy: Policy): Promise<number> =>
    (await limiter.peek(id, policy)).policies[0]!.remaining;

  describe.each(EVERY)('$name', (policy) => {
    it('gives back what a receipt stands for, once', async () => {
      const id = uniquePrefix();
      await limiter.consume(id, policy, { cost: 2 });
      const { receipt } = await limiter.consume(id, policy, { cost: 3 });

      const results = await Promise.all([limiter.refund(receipt!), limiter.refund(receipt!)]);

      expect(results).toEqual([true, false]);
      expect(await limiter.refund(receipt!)).toBe(false);
      expect(await remaining(id, policy)).toBe(8);
    });

    it('takes units beyond the limit as a penalty, and gives none back that were not taken', async () => {
      const id = uniquePrefix();

      const rewarded = await limiter.reward(id, policy, 5);
      const punished = await limiter.penalize(id, policy, 25);
      const refused = await limiter.consume(id, policy);
      await limiter.reset(id, policy);

      expect(rewarded.policies[0]!.remaining).toBe(10);
      expect(punished).toMatchObject({ allowed: false, policies: [{ remaining: 0 }] });
      expect(refused.allowed).toBe(false);
      expect(await remaining(id, policy)).toBe(10);
    });

    it('gives units back as a reward', async () => {
      const id = uniquePrefix();
      await limiter.consume(id, policy, { cost: 10 });

      expect((await limiter.reward(id, policy, 4)).policies[0]!.remaining).toBe(4);
      expect((await limiter.consume(id, policy, { cost: 4 })).allowed).toBe(true);
      expect((await limiter.consume(id, policy)).allowed).toBe(false);
    });
  });

  it('takes different costs by policy', async () => {
    const bytes: Policy = { name: 'bytes', limit: 1000, window: '1h' };
    const decision = await limiter.consume('costs', [TEN, bytes], { cost: { bytes: 300 } });

    expect(decision.policies.map((policy) => policy.remaining)).toEqual([9, 700]);
    await expect(limiter.consume('costs', TEN, { cost: { tne: 1 } })).rejects.toBeInstanceOf(
      ConfigurationError,
    );
  });

  it('counts several identities in one round trip, all or none', async () => {
    const [ip, tenant] = [uniquePrefix(), uniquePrefix()];
    const demands = [
      { id: ['ip', ip], policies: TEN, cost: 4 },
      { id: ['tenant', tenant], policies: { ...TEN, name: 'tenant', limit: 5 }, cost: 4 },
    ];
    const before = await scriptCalls(redis);
    const first = await limiter.consumeAll(demands);
    const second = await limiter.consumeAll(demands);

    expect((await scriptCalls(redis)) - before).toBe(2);
    expect(first).toMatchObject({ allowed: true, policies: [{ remaining: 6 }, { remaining: 1 }] });
    expect(second).toMatchObject({
      allowed: false,
      violated: ['tenant'],
      policies: [{ remaining: 6 }, { remaining: 1 }],
    });
    expect(await limiter.refund(first.receipt!)).toBe(true);
    expect((await limiter.peek(['ip', ip], TEN)).policies[0]!.remaining).toBe(10);
  });

  it('refuses to count one policy of one identity twice in a call', async () => {
    const twice = [
      { id: 'twice', policies: TEN },
      { id: ['twice'], policies: [TEN] },
    ];

    await expect(limiter.consumeAll(twice)).rejects.toThrow(/twice for the same identity/);
    await expect(limiter.consumeAll([])).rejects.toBeInstanceOf(ConfigurationError);
  });

  it('gives nothing back to a policy in shadow mode that counted nothing', async () => {
    for (const policy of EVERY) {
      const id = uniquePrefix();
      const shadow: Policy = { ...policy, name: 'shadow', limit: 1, shadow: true };
      await limiter.consume(id, [policy, shadow]);
      const { receipt } = await limiter.consume(id, [policy, shadow]);
      await limiter.refund(receipt!);

      const { policies } = await limiter.peek(id, [policy, shadow]);
      expect(policies.map((state) => state.remaining)).toEqual([9, 0]);
    }
  });

  it('blocks longer each time, and by hand, until a reset', async () => {
    const policy: Policy = { name: 'blocks', limit: 1, window: '100ms', block: { for: ['1h', '2h'] } };
    const id = uniquePrefix();
    await limiter.consume(id, policy);

    const first = await limiter.consume(id, policy);
    await limiter.reset(id, policy);
    const free = await limiter.consume(id, policy);
    await limiter.block(id, policy, '3h');
    const blocked = await limiter.peek(id, policy);

    expect(first).toMatchObject({ allowed: false, policies: [{ blocked: true, remaining: 0 }] });
    expect(first.retryAfterMs).toBeGreaterThan(3_599_000);
    expect(free.allowed).toBe(true);
    expect(blocked.retryAfterMs).toBeGreaterThan(2 * 3_600_000);
    await expect(limiter.block(id, TEN, '1h')).rejects.toThrow(/cannot block/);
  });

  it('counts only failures, and not more of them at once than there is room', async () => {
    const id = uniquePrefix();
    const login = (works: boolean): Promise<string> =>
      limiter.wrap(
        id,
        TEN,
        async () => {
          if (!works) throw new Error('wrong password');
          return 'in';
        },
        { countOnly: 'failures' },
      );
    for (let attempt = 0; attempt < 15; attempt += 1) await login(true);
    expect(await remaining(id, TEN)).toBe(10);

    const outcomes = await Promise.allSettled(Array.from({ length: 30 }, () => login(false)));

    const reasons = outcomes.map(
      (outcome) => (outcome.status === 'rejected' ? outcome.reason : 'in') as Error,
    );
    expect(reasons.filter((reason) => reason instanceof RateLimitExceededError)).toHaveLength(20);
    expect(reasons.filter(({ message }) => message === 'wrong password')).toHaveLength(10);
    await expect(login(true)).rejects.toBeInstanceOf(RateLimitExceededError);
  });

  it('counts only successes', async () => {
    const id = uniquePrefix();
    const fail = (): Promise<never> => Promise.reject(new Error('no'));

    await expect(limiter.wrap(id, TEN, fail, { countOnly: 'successes' })).rejects.toThrow('no');
    expect(await remaining(id, TEN)).toBe(10);
    await limiter.wrap(id, TEN, async () => 'yes', { countOnly: 'successes' });
    expect(await remaining(id, TEN)).toBe(9);
  });

  it('asks for the limits of an identity once in a while, and lives with an answer that fails', async () => {
    const asked: unknown[] = [];
    const plans: Record<string, number> = { small: 2, big: 50 };
    const policy: Policy = {
      name: 'plan',
      limit: 5,
      window: '1h',
      resolve: async (id) => {
        asked.push(id);
        if (id === 'broken') throw new Error('no database');
        const limit = plans[String(id)];
        return limit === undefined ? undefined : { limit };
      },
    };
    const limits: number[] = [];
    for (const id of ['small', 'big', 'unknown', 'broken', 'small', 'big']) {
      limits.push((await limiter.consume(id, policy)).policies[0]!.limit);
    }

    expect(limits).toEqual([2, 50, 5, 5, 2, 50]);
    expect(asked).toEqual(['small', 'big', 'unknown', 'broken']);
    expect((await limiter.consume('small', policy)).allowed).toBe(false);
  });

  it('says what a policy in shadow mode would have done', async () => {
    const shadow: Policy = { name: 'shadow', limit: 1, window: '1h', shadow: true };
    const id = uniquePrefix();
    await limiter.consume(id, [TEN, shadow]);

    const decision = await limiter.consume(id, [TEN, shadow]);

    expect(decision).toMatchObject({ allowed: true, violated: [], shadowed: ['shadow'], retryAfterMs: 0 });
    expect(decision.policies.map((policy) => policy.remaining)).toEqual([8, 0]);
  });

  describe('acquire', () => {
    it('reserves paced moments in one round trip each, in the order of arrival', async () => {
      const id = uniquePrefix();
      const before = await scriptCalls(redis);
      const startedMs = performance.now();
      const done: number[] = [];
      const times: number[] = [];

      await Promise.all(
        Array.from({ length: 6 }, async (_, index) => {
          await limiter.acquire(id, PACED);
          done.push(index);
          times.push(performance.now() - startedMs);
        }),
      );

      expect((await scriptCalls(redis)) - before).toBe(6);
      expect(done).toEqual([0, 1, 2, 3, 4, 5]);
      // 50 ms apart, counted from the first; a timer may be a little early.
      times.forEach((time, index) => expect(time).toBeGreaterThanOrEqual(index * 50 - 5));
    });

    it('reserves also while a refusal is remembered', async () => {
      const id = uniquePrefix();
      // Far enough apart that the second call comes in time to be refused.
      const paced: Policy = { ...PACED, limit: 1 };
      await limiter.consume(id, paced);
      const refused = await limiter.consume(id, paced);
      const before = await scriptCalls(redis);

      const granted = await limiter.acquire(id, paced);

      expect([refused.allowed, granted.allowed, granted.source]).toEqual([false, true, 'redis']);
      expect((await scriptCalls(redis)) - before).toBe(1);
    });

    it('fails at once when the time is known to be too short, and takes nothing', async () => {
      const id = uniquePrefix();
      const hourly: Policy = { name: 'hourly', limit: 1, window: '1h', algorithm: 'gcra' };
      await limiter.acquire(id, hourly, { maxWait: 0 });
      const { retryAfterMs } = await limiter.peek(id, hourly);

      await expect(limiter.acquire(id, hourly, { maxWait: '1m' })).rejects.toBeInstanceOf(
        RateLimitExceededError,
      );

      expect((await limiter.peek(id, hourly)).retryAfterMs).toBeLessThanOrEqual(retryAfterMs);
    });

    it('gives a reservation back when it is aborted', async () => {
      const id = uniquePrefix();
      const slow: Policy = { name: 'slow', limit: 1, window: '10s', algorithm: 'gcra' };
      await limiter.acquire(id, slow);
      const controller = new AbortController();
      const waiting = limiter.acquire(id, slow, { signal: controller.signal });
      await eventually('the reservation', async () => (await limiter.peek(id, slow)).retryAfterMs > 10_500);

      controller.abort(new Error('changed my mind'));

      await expect(waiting).rejects.toThrow('changed my mind');
      expect((await limiter.peek(id, slow)).retryAfterMs).toBeLessThanOrEqual(10_000);
    });

    it('waits in line for a sliding window: one asks, nobody is let through too soon', async () => {
      const policy: Policy = { name: 'line', limit: 2, window: '200ms' };
      const id = uniquePrefix();
      const before = await scriptCalls(redis);
      const order: number[] = [];
      const times: number[] = [];
      const startedMs = performance.now();

      await Promise.all(
        Array.from({ length: 6 }, async (_, index) => {
          await limiter.acquire(id, policy);
          order.push(index);
          times.push(performance.now());
        }),
      );

      expect(order).toEqual([0, 1, 2, 3, 4, 5]);
      // Two windows of two each lie between the first and the last.
      expect(times[2]! - startedMs).toBeGreaterThan(198);
      expect(times[4]! - startedMs).toBeGreaterThan(398);
      // 6 grants and few refusals: the others do not ask while the first waits.
      expect((await scriptCalls(redis)) - before).toBeLessThanOrEqual(12);
    });

    it('gives up in line after its time, and with its signal', async () => {
      const policy: Policy = { name: 'stuck', limit: 1, window: '1h' };
      const id = uniquePrefix();
      await limiter.acquire(id, policy);
      const controller = new AbortController();
      const first = limiter.acquire(id, policy, { maxWait: '2h', signal: controller.signal });
      const second = limiter.acquire(id, policy, { maxWait: 50 });
      const third = limiter.acquire(id, policy, { maxWait: '2h', signal: controller.signal });

      await expect(second).rejects.toBeInstanceOf(RateLimitExceededError);
      controller.abort(new Error('closing'));

      await expect(first).rejects.toThrow('closing');
      await expect(third).rejects.toThrow('closing');
    });
  });

  describe('concurrency', () => {
    it('lets as many run at once as there are slots, and the next when one is released', async () => {
      const policy = { name: 'jobs', limit: 2, lease: '30s' } as const;
      const id = uniquePrefix();
      const held = [await limiter.concurrency(id, policy), await limiter.concurrency(id, policy)];
      await expect(limiter.concurrency(id, policy)).rejects.toBeInstanceOf(ConcurrencyExceededError);

      const startedMs = performance.now();
      const waiting = limiter.concurrency(id, policy, { maxWait: '10s' });
      await eventually(
        'the subscription',
        async () => ((await redis.call('PUBSUB', 'NUMSUB', `${prefix}:wake`)) as unknown[])[1] !== 0,
      );
      await held[0]!.release();
      await held[0]!.release();
      const third = await waiting;

      expect(performance.now() - startedMs).toBeLessThan(9000);
      expect(third.source).toBe('redis');
      await expect(limiter.concurrency(id, policy)).rejects.toMatchObject({ limit: 2 });
      await Promise.all([held[1]!.release(), third.release()]);
    });

    it('keeps a slot beyond its lease while it is held, and frees it by disposal', async () => {
      const policy = { name: 'short', limit: 1, lease: '1s' } as const;
      const id = uniquePrefix();
      {
        await using slot = await limiter.concurrency(id, policy);
        const endMs = performance.now() + 2200;
        await eventually('two leases', async () => {
          await expect(limiter.concurrency(id, policy)).rejects.toBeInstanceOf(ConcurrencyExceededError);
          return performance.now() > endMs;
        });
        expect(slot.signal.aborted).toBe(false);
      }

      await (await limiter.concurrency(id, policy)).release();
    });

    it('never runs more at once than there are slots', async () => {
      const policy = { name: 'race', limit: 3, lease: '5s' } as const;
      const id = uniquePrefix();
      let running = 0;
      let most = 0;

      await Promise.all(
        Array.from({ length: 24 }, async (_, index) => {
          const own = index % 2 === 0 ? limiter : inject(other, RateLimiter);
          await using slot = await own.concurrency(id, policy, { maxWait: '10s' });
          running += 1;
          most = Math.max(most, running);
          await new Promise((resolve) => setTimeout(resolve, 5));
          running -= 1;
          expect(slot.source).toBe('redis');
        }),
      );

      expect({ id, most }).toEqual({ id, most: 3 });
    });

    it('ends a wait with its signal', async () => {
      const policy = { name: 'abort', limit: 1 } as const;
      const id = uniquePrefix();
      const slot = await limiter.concurrency(id, policy);

      await expect(
        limiter.concurrency(id, policy, { maxWait: '1m', signal: AbortSignal.timeout(30) }),
      ).rejects.toThrow(/timeout/);
      await slot.release();
    });
  });

  describe('remembered refusals', () => {
    const one: Policy = { name: 'one', limit: 3, window: '1h' };

    it('answer without a round trip, for this cost and above', async () => {
      const id = uniquePrefix();
      await limiter.consume(id, one, { cost: 2 });
      const refused = await limiter.consume(id, one, { cost: 2 });
      const before = await scriptCalls(redis);

      const again = await limiter.consume(id, one, { cost: 2 });
      const more = await limiter.consume(id, one, { cost: 3 });
      const calls = (await scriptCalls(redis)) - before;
      const less = await limiter.consume(id, one, { cost: 1 });

      expect(refused.source).toBe('redis');
      expect([again.source, more.source, less.source]).toEqual(['deny-cache', 'deny-cache', 'redis']);
      expect(calls).toBe(0);
      expect(less.allowed).toBe(true);
      expect(again).toMatchObject({ allowed: false, violated: ['one'], policies: [{ remaining: 1 }] });
      expect(again.retryAfterMs).toBeLessThanOrEqual(refused.retryAfterMs);
    });

    it.each(['reset', 'reward', 'refund'] as const)('end with a %s of another process', async (change) => {
      const id = uniquePrefix();
      const peer = inject(other, RateLimiter);
      const { receipt } = await peer.consumeAll([
        { id: uniquePrefix(), policies: TEN },
        { id, policies: one, cost: 3 },
      ]);
      await eventually('a refusal that is remembered', async () => {
        // The first one subscribes; what was remembered before that is forgotten once more.
        return (await limiter.consume(id, one)).source === 'deny-cache' && (await hears(redis, prefix));
      });

      if (change === 'refund') await peer.refund(receipt!);
      else await peer[change](id, one);

      await eventually('room', async () => (await limiter.consume(id, one)).allowed, 2000);
    });

    it('are not kept of what is about to be blocked', async () => {
      const policy: Policy = { ...one, name: 'third', limit: 1, block: { for: '2h', after: 3 } };
      const id = uniquePrefix();
      const sources: string[] = [];
      const blocked: boolean[] = [];
      for (let call = 0; call < 4; call += 1) {
        const { source, policies } = await limiter.consume(id, policy);
        sources.push(source);
        blocked.push(policies[0]!.blocked);
      }

      expect(sources).toEqual(['redis', 'redis', 'redis', 'redis']);
      expect(blocked).toEqual([false, false, false, true]);
    });
  });
}

async function scriptCalls(redis: RedisClient): Promise<number> {
  const stats = await redis.info('commandstats');
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? 0);
}

async function hears(redis: RedisClient, prefix: string): Promise<boolean> {
  const reply = (await redis.call('PUBSUB', 'NUMSUB', `${prefix}:rl:forget`)) as unknown[];
  return reply[1] !== 0;
}
