import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { REDIS, type RedisClient } from 'rednest';
import { ConcurrencyExceededError, RateLimiter, RateLimitModule, type Policy } from 'rednest/rate-limit';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { demandOf, worstWindow } from '../support/limiter/conformance.js';
import { LimiterProcess } from '../support/limiter/limiter-process.js';
import { memorySubject, scriptSubject, type Subject } from '../support/limiter/subjects.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startNative, type NativeServer } from '../support/servers.js';

const PROCESSES = 4;
const REQUESTS = 5000;
const HOUR_MS = 3_600_000;

describeNative('limits of four processes', () => {
  const prefix = uniquePrefix();
  let server: NativeServer;
  let module: TestingModule;
  let limiter: RateLimiter;
  let workers: LimiterProcess[] = [];

  beforeAll(async () => {
    server = await startNative();
    module = await createModule({
      redis: { url: server.url, keyPrefix: prefix },
      imports: [RateLimitModule.forRoot({ timeout: '10s', onError: 'closed' })],
    });
    limiter = inject(module, RateLimiter);
    workers = await Promise.all(
      Array.from({ length: PROCESSES }, () => LimiterProcess.start(server.url, prefix)),
    );
  }, 60_000);

  afterAll(async () => {
    await Promise.all(workers.map((worker) => worker.kill()));
    await module?.close();
    await server?.stop();
  });

  it.each<Policy>([
    { name: 'sliding', limit: 1000, window: '1h' },
    { name: 'log', limit: 1000, window: '1h', algorithm: 'sliding-log' },
    { name: 'fixed', limit: 1000, window: '1h', algorithm: 'fixed' },
    { name: 'gcra', limit: 1000, window: '1h', algorithm: 'gcra' },
  ])(
    '$name admits exactly the limit of 4 x 5,000 requests on one key',
    async (policy) => {
      const id = uniquePrefix();

      const results = await Promise.all(workers.map((worker) => worker.flood(id, policy, REQUESTS)));

      const admitted = results.reduce((sum, result) => sum + result.admitted, 0);
      const tookMs =
        Math.max(...results.map(({ endMs }) => endMs)) - Math.min(...results.map(({ startMs }) => startMs));
      process.stderr.write(
        `${policy.name}: ${admitted} of ${PROCESSES * REQUESTS} admitted, limit 1000, in ${tookMs} ms\n`,
      );
      // A bucket refills while the flood lasts.
      const refilled = policy.algorithm === 'gcra' ? Math.floor((tookMs * 1000) / HOUR_MS) + 1 : 0;
      expect(admitted).toBeGreaterThanOrEqual(1000);
      expect(admitted).toBeLessThanOrEqual(1000 + refilled);
    },
    60_000,
  );

  it.each<Policy>([
    { name: 'sliding', limit: 100, window: '500ms' },
    { name: 'log', limit: 100, window: '500ms', algorithm: 'sliding-log' },
  ])(
    '$name never admits more than the limit in a trailing window, seen from outside',
    async (policy) => {
      const id = uniquePrefix();

      const streams = await Promise.all(workers.map((worker) => worker.stream(id, policy, 2500)));

      const admitted = streams.flat().sort((a, b) => a[1] - b[1]);
      expect(admitted.length).toBeGreaterThan(300);
      // Any 101 admitted requests: the last was answered a window after the first was asked, at the least.
      let shortestMs = Infinity;
      for (let last = 100; last < admitted.length; last += 1) {
        const first = Math.min(...admitted.slice(last - 100, last + 1).map(([askedMs]) => askedMs));
        shortestMs = Math.min(shortestMs, admitted[last]![1] - first);
      }
      process.stderr.write(
        `${policy.name}: ${admitted.length} admitted in 2.5 s, 101 of them within ${shortestMs.toFixed(1)} ms at the least\n`,
      );
      // 2 ms for the clocks of five processes.
      expect(shortestMs).toBeGreaterThanOrEqual(498);
    },
    30_000,
  );

  it('gives the slot of a killed process back with the end of its lease', async () => {
    const policy = { name: 'slots', limit: 1, lease: '400ms' } as const;
    const id = uniquePrefix();
    const worker = await LimiterProcess.start(server.url, prefix);
    await worker.hold(id, policy);
    await expect(limiter.concurrency(id, policy)).rejects.toBeInstanceOf(ConcurrencyExceededError);
    const beyondMs = performance.now() + 800;
    await eventually('two leases', async () => {
      await expect(limiter.concurrency(id, policy)).rejects.toBeInstanceOf(ConcurrencyExceededError);
      return performance.now() > beyondMs;
    });
    const killedAtMs = performance.now();
    await worker.kill();

    const slot = await limiter.concurrency(id, policy, { maxWait: '10s' });

    expect(performance.now() - killedAtMs).toBeLessThan(2000);
    await slot.release();
  }, 30_000);
});

/** When an attacker sends, in microseconds, for a limit of 100 per second. */
const PATTERNS: Readonly<Record<string, () => number[]>> = {
  'a burst at the end of a window and at the start of the next': () => [
    ...burst(990_000, 200),
    ...burst(1_000_000, 200),
  ],
  'a burst anchored on the first request': () => [0, ...burst(999_000, 200), ...burst(1_001_000, 200)],
  'a continuous flood': () => Array.from({ length: 4000 }, (_, index) => index * 1000),
  'bursts late in one window and late in the next': () => [
    ...burst(950_000, 200),
    ...burst(1_940_000, 200),
    ...burst(2_930_000, 200),
  ],
  'a burst at every sub-window': () =>
    Array.from({ length: 100 }, (_, index) => burst(index * 49_999, 40)).flat(),
};

describe('edges of a window, in memory', () => {
  edges(memorySubject);
});

describeNative('edges of a window, on redis-server', () => {
  let server: NativeServer;
  let module: TestingModule;

  beforeAll(async () => {
    server = await startNative();
    module = await createModule({ redis: { url: server.url } });
  });

  afterAll(async () => {
    await module?.close();
    await server?.stop();
  });

  edges(() => scriptSubject(module.get<RedisClient>(REDIS)));
});

function edges(open: () => Subject): void {
  it.each<[name: string, factor: number, policy: Policy]>([
    ['sliding', 1, { name: 'sliding', limit: 100, window: '1s' }],
    ['sliding-log', 1, { name: 'log', limit: 100, window: '1s', algorithm: 'sliding-log' }],
    ['fixed', 2, { name: 'fixed', limit: 100, window: '1s', algorithm: 'fixed' }],
    ['gcra', 2, { name: 'gcra', limit: 100, window: '1s', algorithm: 'gcra' }],
  ])(
    '%s admits at most %i times the limit in any window, whatever the pattern',
    async (name, factor, policy) => {
      for (const [pattern, times] of Object.entries(PATTERNS)) {
        const subject = open();
        const demand = demandOf(policy);
        const admitted: { atUs: number; cost: number }[] = [];
        for (const us of times()) {
          const atUs = 1_790_000_000_000_000 + us;
          if ((await subject.evaluate(atUs, 'consume', [demand], 0))[0] === 1)
            admitted.push({ atUs, cost: 1 });
        }
        const worst = worstWindow(admitted, 1_000_000) / 100;
        process.stderr.write(`${name}, ${pattern}: ${worst.toFixed(2)} x the limit\n`);
        expect({ pattern, within: worst <= factor }).toEqual({ pattern, within: true });
        expect(admitted.length).toBeGreaterThanOrEqual(100);
      }
    },
  );
}

function burst(atUs: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => atUs + index);
}
