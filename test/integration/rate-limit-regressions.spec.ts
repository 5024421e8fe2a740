import { getEventListeners } from 'node:events';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { Redis } from 'ioredis';
import { ConnectionRegistry, REDIS, RedisUnavailableError, type RedisClient } from 'rednest';
import {
  RateLimiter,
  RateLimitModule,
  type ConcurrencyPolicy,
  type Policy,
  type RateLimitReceipt,
} from 'rednest/rate-limit';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { failure } from '../support/failure.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startNative, type NativeServer } from '../support/servers.js';

/** Mistakes this limiter has made. */
describeNative('RateLimiter, mistakes of its own', () => {
  const prefix = uniquePrefix();
  let server: NativeServer;
  let module: TestingModule;
  let limiter: RateLimiter;
  let redis: RedisClient;

  const open = (options = {}): Promise<TestingModule> =>
    createModule({
      redis: { url: server.url, keyPrefix: prefix },
      imports: [RateLimitModule.forRoot({ timeout: '5s', onError: 'closed', ...options })],
    });
  const remaining = async (id: string, policy: Policy): Promise<number> =>
    (await limiter.peek(id, policy)).policies[0]!.remaining;

  beforeAll(async () => {
    server = await startNative();
    module = await open();
    limiter = inject(module, RateLimiter);
    redis = module.get<RedisClient>(REDIS);
  });

  afterAll(async () => {
    await module?.close();
    await server?.stop();
  });

  describe('slots', () => {
    it('gives back a slot that a frozen server grants after its caller has gone on without it', async () => {
      const app = await open({ timeout: 50, onError: 'local' });
      const impatient = inject(app, RateLimiter);
      const policy: ConcurrencyPolicy = { name: 'late', limit: 2, lease: '30s' };
      const id = uniquePrefix();
      const taken = async (): Promise<number> => {
        const [key] = await redis.keys(`${prefix}:rl:{${id}}:n:*`);
        return key ? redis.zcard(key) : 0;
      };
      // The script is known and the wake-up channel stands.
      await eventually('a slot of the server', async () => {
        const slot = await impatient.concurrency(uniquePrefix(), policy);
        await slot.release();
        return slot.source === 'redis';
      });
      const observer = new Redis(server.url);
      let granted = 0;
      try {
        const monitor = await observer.monitor();
        monitor.on('monitor', (_time, args: string[]) => {
          if (args[0] === 'ZADD' && args[1]?.includes(`{${id}}`)) granted += 1;
        });

        server.freeze();
        const slot = await impatient.concurrency(id, policy);
        server.resume();

        expect(slot.source).toBe('local');
        await eventually('the late grant', () => granted > 0);
        await eventually('no slot is taken', async () => (await taken()) === 0, 5000);
        await slot.release();
        monitor.disconnect();
      } finally {
        observer.disconnect();
        await app.close();
      }
    });

    it('takes no slot again for a renewal that was on its way when it was released', async () => {
      const policy: ConcurrencyPolicy = { name: 'renewed', limit: 2, lease: '1s' };
      const taken: number[] = [];
      const executor = module.get(ConnectionRegistry).executor();

      // Which of the two comes first on the new connection differs by run.
      for (let round = 0; round < 4; round += 1) {
        const id = uniquePrefix();
        await eventually('the connection to be back', () => limiter.status.source === 'redis');
        const slot = await limiter.concurrency(id, policy);
        server.freeze();
        await eventually('a renewal on its way', () => executor.inFlight > 0);
        const released = slot.release();
        (redis as Redis).stream.destroy();
        server.resume();
        await released;
        taken.push(await redis.zcard(`${prefix}:rl:{${id}}:n:renewed`));
      }

      expect(taken).toEqual(taken.map(() => 0));
    });
  });

  it.each(['sliding', 'sliding-log', 'gcra', 'fixed'] as const)(
    'gives nothing back after a reset that was taken before it (%s)',
    async (algorithm) => {
      const policy: Policy = { name: 'reset', limit: 5, window: '1h', algorithm };
      const id = uniquePrefix();
      const before: (RateLimitReceipt | undefined)[] = [];
      for (let call = 0; call < 5; call += 1) before.push((await limiter.consume(id, policy)).receipt);
      await limiter.reset(id, policy);
      const own = await limiter.consume(id, policy, { cost: 5 });

      for (const receipt of before) await limiter.refund(receipt!);
      expect(await remaining(id, policy)).toBe(0);
      await limiter.refund(own.receipt!);
      expect(await remaining(id, policy)).toBe(5);
    },
  );

  it.each(['sliding', 'sliding-log', 'gcra', 'fixed'] as const)(
    'hears of room that another process makes where there was some, but too little (%s)',
    async (algorithm) => {
      const app = await open({ denyCache: { maxAge: '1m' } });
      const refused = inject(app, RateLimiter);
      const policy: Policy = { name: 'some', limit: 10, window: '1h', algorithm };
      const id = uniquePrefix();
      await limiter.consume(id, policy, { cost: 7 });
      await eventually('a refusal that is remembered', async () => {
        const { source } = await refused.consume(id, policy, { cost: 5 });
        const [, listeners] = (await redis.call('PUBSUB', 'NUMSUB', `${prefix}:rl:forget`)) as [
          string,
          number,
        ];
        return source === 'deny-cache' && listeners === 1;
      });

      await limiter.reward(id, policy, 7);

      await eventually('room', async () => (await refused.consume(id, policy, { cost: 5 })).allowed, 5000);
      await app.close();
    },
  );

  describe('waits', () => {
    it('takes nothing for a caller that gives up while it is being asked for', async () => {
      const policy: Policy = { name: 'gave-up', limit: 10, window: '1h' };
      const id = uniquePrefix();
      for (let call = 0; call < 5; call += 1) {
        const controller = new AbortController();
        const waiting = limiter.acquire(id, policy, { signal: controller.signal });
        const given = failure(waiting);
        // The script is on its way.
        await Promise.resolve();
        await Promise.resolve();
        controller.abort(new Error('enough'));
        expect(await given).toMatchObject({ message: 'enough' });
      }

      await eventually('all units are back', async () => (await remaining(id, policy)) === 10, 5000);
    });

    it.each<[string, Partial<Policy>]>([
      ['in line', {}],
      ['for a reserved moment', { algorithm: 'gcra' }],
    ])('leaves nothing with a signal that outlives it (%s)', async (_how, template) => {
      const policy: Policy = { name: 'traces', limit: 4, window: '50ms', ...template };
      const { signal } = new AbortController();
      const any = jest.spyOn(AbortSignal, 'any');

      for (let round = 0; round < 5; round += 1) {
        const id = uniquePrefix();
        await Promise.all(
          Array.from({ length: 12 }, () => limiter.acquire(id, policy, { maxWait: '5s', signal })),
        );
      }

      const derived = any.mock.calls.length;
      any.mockRestore();
      expect([derived, getEventListeners(signal, 'abort').length]).toEqual([0, 0]);
    });

    it.each<[string, Partial<Policy>]>([
      ['in line', {}],
      ['for a reserved moment', { algorithm: 'gcra' }],
    ])('ends with the application, and lets nobody through (%s)', async (_how, template) => {
      const app = await open({ onError: 'local', timeout: '1s' });
      const closing = inject(app, RateLimiter);
      const policy: Policy = { name: 'closing', limit: 1, window: '10s', ...template };
      const id = uniquePrefix();
      await closing.consume(id, policy);
      const waiting = failure(closing.acquire(id, policy, { maxWait: '20s' }));
      await eventually('it waits', async () => {
        const { policies } = await limiter.peek(id, policy);
        return template.algorithm === undefined || policies[0]!.resetMs > 10_500;
      });

      const startedMs = performance.now();
      await app.close();

      expect(await waiting).toBeInstanceOf(RedisUnavailableError);
      expect(await failure(closing.acquire(id, policy))).toBeInstanceOf(RedisUnavailableError);
      expect(performance.now() - startedMs).toBeLessThan(5000);
    });
  });
});
