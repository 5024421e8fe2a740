import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { REDIS, type RedisClient } from 'rednest';
import type { Policy } from 'rednest/rate-limit';
import { createModule } from '../support/app.js';
import { demandOf, worstWindow } from '../support/limiter/conformance.js';
import { memorySubject, scriptSubject, type Subject } from '../support/limiter/subjects.js';
import { describeNative } from '../support/needs.js';
import { startEmbedded, startNative, type TestServer } from '../support/servers.js';

/** A moment of today in microseconds: as many digits as the real clock has. */
const EPOCH_US = 1_790_000_000_123_456;
const HOUR_US = 3_600_000_000;

const POLICIES: readonly Policy[] = [
  { name: 'sliding', limit: 5, window: 1000 },
  { name: 'log', limit: 5, window: 1000, algorithm: 'sliding-log' },
  { name: 'fixed', limit: 5, window: 1000, algorithm: 'fixed' },
  { name: 'aligned', limit: 5, window: 1000, algorithm: 'fixed', align: 'utc' },
  { name: 'gcra', limit: 5, window: 1000, algorithm: 'gcra' },
];

describe('clock of the scripts on the embedded engine', () => {
  suite(startEmbedded);
});
describeNative('clock of the scripts on redis-server', () => {
  suite(startNative);
});

function suite(start: () => Promise<TestServer>): void {
  let server: TestServer;
  let module: TestingModule;
  let redis: RedisClient;
  let subject: Subject;

  beforeAll(async () => {
    server = await start();
    module = await createModule({ redis: { url: server.url } });
    redis = module.get<RedisClient>(REDIS);
    subject = scriptSubject(redis);
  });

  afterAll(async () => {
    await module?.close();
    await server?.stop();
  });

  it.each(POLICIES)('$name: an hour back locks nobody out for longer than a window', async (policy) => {
    const demand = { ...demandOf(policy), cost: 5 };
    await subject.evaluate(EPOCH_US, 'consume', [demand], 0);
    const backUs = EPOCH_US - HOUR_US;

    const first = await subject.evaluate(backUs, 'consume', [demand], 0);
    const soon = await subject.evaluate(backUs + 1000, 'consume', [demand], 0);
    const later = await subject.evaluate(backUs + 2_000_000, 'consume', [demand], 0);

    expect([first[0], soon[0], later[0]]).toEqual([0, 0, 1]);
    // A window, plus the sub-window or the bucket that the algorithm adds.
    expect(first[4]).toBeLessThanOrEqual(policy.algorithm === 'gcra' ? 2_000_000 : 1_050_000);
  });

  it.each(POLICIES)('$name: a counter is dated to the new time once, and not by a look', async (policy) => {
    const demand = { ...demandOf(policy), cost: 5 };
    await subject.evaluate(EPOCH_US, 'consume', [demand], 0);
    const backUs = EPOCH_US - HOUR_US;
    const [key] = await redis.keys(`*{${demand.identity}}*`);
    const dump = (): Promise<Buffer> => redis.dumpBuffer(key!);
    const before = await dump();

    await subject.evaluate(backUs, 'peek', [demand], 0);
    expect(await dump()).toEqual(before);
    await subject.evaluate(backUs, 'consume', [demand], 0);
    const dated = await dump();
    await subject.evaluate(backUs + 1000, 'consume', [demand], 0);

    expect(dated).not.toEqual(before);
    expect(await dump()).toEqual(dated);
  });

  it('a block ends after its length, also when the clock went back', async () => {
    const demand = demandOf({ name: 'block', limit: 1, window: 1000, block: { for: '1s' } });
    for (let call = 0; call < 2; call += 1) await subject.evaluate(EPOCH_US, 'consume', [demand], 0);
    const backUs = EPOCH_US - HOUR_US;

    expect((await subject.evaluate(backUs, 'consume', [demand], 0)).slice(2)).toEqual([
      -1, 1_000_000, 1_000_000,
    ]);
    // The counter was not looked at meanwhile: it refuses once more, as of the new time.
    expect((await subject.evaluate(backUs + 3_000_000, 'consume', [demand], 0))[0]).toBe(0);
    expect((await subject.evaluate(backUs + 6_000_000, 'consume', [demand], 0))[0]).toBe(1);
  });

  it('slots of a holder that died before the clock went back come free after a lease', async () => {
    await subject.hold(EPOCH_US, 'dead', 'a', 1, 1_000_000);
    const backUs = EPOCH_US - HOUR_US;

    expect(await subject.hold(backUs, 'dead', 'b', 1, 1_000_000)).toBe(false);
    expect(await subject.hold(backUs + 1_000_000, 'dead', 'b', 1, 1_000_000)).toBe(true);
  });

  it('lets 95 % of a limit through under a flood, never more than it', async () => {
    await flood(subject, 100);
  });

  it.each(POLICIES.filter(({ algorithm }) => algorithm !== 'fixed'))(
    '$name: the wait that is told is the shortest there is',
    async (policy) => {
      const demand = demandOf(policy);
      for (let call = 0; call < 5; call += 1) {
        await subject.evaluate(EPOCH_US + call * 60_000, 'consume', [demand], 0);
      }
      const askedUs = EPOCH_US + 300_000;
      const own = { ...demand, cost: 3 };
      const [allowed, , , , waitUs = 0] = await subject.evaluate(askedUs, 'consume', [own], 0);

      expect(allowed).toBe(0);
      expect((await subject.evaluate(askedUs + waitUs - 2, 'peek', [own], 0))[0]).toBe(0);
      expect((await subject.evaluate(askedUs + waitUs, 'peek', [own], 0))[0]).toBe(1);
    },
  );
}

describe('sliding under a flood, in memory', () => {
  it.each([1, 20, 100, 1000])('lets 95 %% of a limit of %i through, never more than it', async (limit) => {
    await flood(memorySubject(), limit);
  });
});

/** 21 windows, in which 20 times the limit passes: each time the last of it leaves after 21 sub-windows. */
async function flood(subject: Subject, limit: number): Promise<void> {
  const demand = demandOf({ name: 'flood', limit, window: 1000 });
  const admitted: { atUs: number; cost: number }[] = [];
  for (let us = 0; us < 21_000_000; us += 5000) {
    const cost = Math.ceil(limit / 50);
    const [allowed] = await subject.evaluate(EPOCH_US + us, 'consume', [{ ...demand, cost }], 0);
    if (allowed === 1) admitted.push({ atUs: us, cost });
  }
  const total = admitted.reduce((sum, { cost }) => sum + cost, 0);
  expect(total).toBeGreaterThanOrEqual(20 * limit);
  expect(total / (21 * limit)).toBeGreaterThanOrEqual(0.95);
  expect(worstWindow(admitted, 1_000_000)).toBe(limit);
}
