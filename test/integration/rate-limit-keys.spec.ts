import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import * as fc from 'fast-check';
import { REDIS, slotOf, type RedisClient } from 'rednest';
import { hashedId, RateLimiter, RateLimitModule, type Policy, type RateLimitId } from 'rednest/rate-limit';
import { encodeIdentity } from '../../src/rate-limit/identity.js';
import { PolicySet } from '../../src/rate-limit/policy-set.js';
import { resolvePolicy } from '../../src/rate-limit/resolved-policy.js';
import { keysOf } from '../../src/rate-limit/script-arguments.js';
import { createModule, inject } from '../support/app.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startEmbedded, startNative, type TestServer } from '../support/servers.js';

const POLICIES: readonly Policy[] = [
  { name: 'sliding', limit: 3, window: '1m' },
  { name: 'coarse', limit: 300, window: '1m', precision: 5 },
  { name: 'wide', limit: 70_000, window: '1m' },
  { name: 'log', limit: 3, window: '1m', algorithm: 'sliding-log' },
  { name: 'gcra', limit: 3, window: '1m', algorithm: 'gcra' },
  { name: 'fast', limit: 1_000_000, window: '1s', algorithm: 'gcra' },
  { name: 'fixed', limit: 3, window: '1m', algorithm: 'fixed' },
  { name: 'aligned', limit: 3, window: '1m', algorithm: 'fixed', align: 'utc' },
  { name: 'blocking', limit: 2, window: '1m', block: { for: ['1m', '5m'], after: 2 } },
  { name: 'shadow', limit: 1, window: '1m', shadow: true, block: { for: '1m' } },
];

describe('keys of limits on the embedded engine', () => {
  onServer(startEmbedded);
});
describeNative('keys of limits on redis-server', () => {
  onServer(startNative);
});

function onServer(start: () => Promise<TestServer>): void {
  const prefix = uniquePrefix();
  let server: TestServer;
  let module: TestingModule;
  let limiter: RateLimiter;
  let redis: RedisClient;

  beforeAll(async () => {
    server = await start();
    module = await createModule({
      redis: { url: server.url, keyPrefix: prefix },
      imports: [RateLimitModule.forRoot({ timeout: '5s', onError: 'closed' })],
    });
    limiter = inject(module, RateLimiter);
    redis = module.get<RedisClient>(REDIS);
  });

  afterAll(async () => {
    await module?.close();
    await server?.stop();
  });

  it('all have a time to live, whatever was done in whatever order', async () => {
    const step = fc.record({
      what: fc.constantFrom(
        'consume',
        'acquire',
        'peek',
        'penalize',
        'reward',
        'refund',
        'block',
        'hold',
        'reset',
      ),
      policy: fc.integer({ min: 0, max: POLICIES.length - 1 }),
      id: fc.integer({ min: 0, max: 2 }).map((id) => `id-${id}`),
      points: fc.integer({ min: 1, max: 400 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
        for (const { what, policy: at, id, points } of steps) {
          const policy = POLICIES[at]!;
          const cost = Math.min(points, policy.limit);
          switch (what) {
            case 'consume':
              await limiter.consume(id, [policy, POLICIES[(at + 1) % POLICIES.length]!]);
              break;
            case 'acquire':
              await limiter.acquire(id, policy, { cost, maxWait: 0 }).catch(() => undefined);
              break;
            case 'refund': {
              const { receipt } = await limiter.consume(id, policy, { cost });
              if (receipt) await limiter.refund(receipt);
              break;
            }
            case 'block':
              if (policy.block) await limiter.block(id, policy, points);
              break;
            case 'hold': {
              const slot = await limiter.concurrency(id, { name: 'n', limit: 2 }).catch(() => undefined);
              if (points % 2 === 0) await slot?.release();
              break;
            }
            case 'penalize':
            case 'reward':
              await limiter[what](id, policy, points);
              break;
            case 'peek':
            case 'reset':
              await limiter[what](id, policy);
              break;
          }
        }
        for (const key of await redis.keys(`${prefix}:rl:*`)) {
          const [ttl, type] = [await redis.pttl(key), await redis.type(key)];
          // -2: it has just ended.
          expect({ key, type, eternal: ttl === -1 }).toEqual({ key, type, eternal: false });
          expect(ttl).toBeLessThanOrEqual(2 * 300_000 + 10_000);
        }
      }),
      { numRuns: 15 },
    );
  });

  it.each(POLICIES.filter(({ name }) => name !== 'fast'))(
    'of $name live as long as they count',
    async (policy) => {
      const id = uniquePrefix();
      const { policies } = await limiter.consume(id, policy);
      const ttls = await Promise.all(
        (await redis.keys(`${prefix}:rl:{${id}}:*`)).map((key) => redis.pttl(key)),
      );

      expect(ttls).toHaveLength(1);
      // What PTTL takes off is time that has passed since.
      expect(ttls[0]).toBeGreaterThanOrEqual(Math.max(-2, policies[0]!.resetMs - 500));
      expect(ttls[0]).toBeLessThanOrEqual(policies[0]!.resetMs + 1002);
    },
  );

  it('begin anew when algorithm, precision or window of a policy change', async () => {
    const id = uniquePrefix();
    const base: Policy = { name: 'same', limit: 5, window: '1m' };
    const variants: readonly Policy[] = [
      base,
      { ...base, precision: 5 },
      { ...base, window: '2m' },
      { ...base, algorithm: 'gcra' },
      { ...base, algorithm: 'fixed' },
      { ...base, algorithm: 'sliding-log' },
    ];
    for (const policy of variants) {
      expect((await limiter.consume(id, policy)).policies[0]!.remaining).toBe(4);
    }
    expect(await redis.keys(`${prefix}:rl:{${id}}:*`)).toHaveLength(variants.length);
    // A changed limit does not begin anew.
    expect((await limiter.peek(id, { ...base, limit: 3 })).policies[0]!.remaining).toBe(2);
  });
}

describe('keys of identities', () => {
  const nasty = fc.oneof(
    fc.string({ minLength: 1, maxLength: 60, unit: 'binary' }),
    fc.string({
      minLength: 1,
      maxLength: 12,
      unit: fc.constantFrom('{', '}', ':', '%', '/', '~', '*', '\n', '\0', ' ', 'a', '1', 'h'),
    }),
    fc.constantFrom('%7B', '~1', '~h', 'a/b', '\uD800', '\uDC00', 'é', 'e\u0301'),
  );
  const anyId: fc.Arbitrary<RateLimitId> = fc.oneof(nasty, fc.array(nasty, { minLength: 1, maxLength: 3 }));
  const set = new PolicySet(POLICIES.map((policy) => resolvePolicy(policy, 'local')));
  const parts = (id: RateLimitId): string => JSON.stringify(typeof id === 'string' ? [id] : id);
  const keys = (id: RateLimitId): string[] =>
    keysOf('app:rl:{', [{ identity: encodeIdentity(id), set, cost: 1 }]);

  it('are never shared by two identities', () => {
    fc.assert(
      fc.property(anyId, anyId, (a, b) => {
        fc.pre(parts(a) !== parts(b));
        const own = new Set(keys(a));
        expect(keys(b).filter((key) => own.has(key))).toEqual([]);
        expect(hashedId(a)).not.toBe(hashedId(b));
      }),
      { numRuns: 3000 },
    );
  });

  it('keep to their place and their slot, and are short', () => {
    fc.assert(
      fc.property(anyId, (id) => {
        const own = keys(id);
        const slots = new Set(own.map((key) => slotOf(key)));
        expect(slots.size).toBe(1);
        for (const key of own) {
          expect(key).toMatch(/^app:rl:\{[^{}:*\s\u0000-\u001f]+\}:[sglfb]:[\w.-]+(:\d+:\w+)?$/);
          expect(Buffer.byteLength(key)).toBeLessThan(48 * 3 + 100);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('do not show an identity that is hashed', () => {
    expect(keys(['key', hashedId('sk_live_123')]).join()).not.toContain('sk_live');
    expect(hashedId('sk_live_123')).toMatch(/^[\w-]{22}$/);
  });
});
