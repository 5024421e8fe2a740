import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Test, type TestingModule } from '@nestjs/testing';
import { randomInt } from 'node:crypto';
import { REDIS, RedisModule, type RedisClient } from 'rednest';
import { CONSUME } from '../../src/rate-limit/rate-limit.scripts.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startEmbedded, startNative, type TestServer } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

/** The shipped script with a clock the test sets: the time stands in a key. */
const SCRIPT = CONSUME.lua.replace(
  /local function server_now\(\)[\s\S]*?\nend\n/,
  "local function server_now()\nreturn tonumber(redis.call('GET', KEYS[1] .. ':clock'))\nend\n",
);

/** A moment of today in microseconds: as many digits as the real clock has. */
const EPOCH_US = 1_790_000_000_123_456;
const SUB_WINDOWS = 20;

interface Answer {
  allowed: boolean;
  remaining: number;
  resetMs: number;
  waitMs: number;
}

describe('consume script on the embedded engine', () => {
  suite(startEmbedded);
});
describeNative('consume script on redis-server', () => {
  suite(startNative);
});

function suite(startServer: () => Promise<TestServer>): void {
  const prefix = uniquePrefix();
  let server: TestServer;
  let app: TestingModule;
  let redis: RedisClient;

  beforeAll(async () => {
    server = await startServer();
    const log = new TestLog();
    app = await Test.createTestingModule({
      imports: [
        RedisModule.forRoot({ url: server.url, keyPrefix: prefix, app: 'test', env: {}, logger: log }),
      ],
    })
      .setLogger(log)
      .compile();
    await app.init();
    redis = app.get<RedisClient>(REDIS);
  });

  afterAll(async () => {
    await app?.close();
    await server?.stop();
  });

  class Limit {
    readonly key = `{${prefix}}:${uniquePrefix()}`;

    constructor(
      readonly limit: number,
      readonly windowMs: number,
    ) {}

    async at(nowUs: number, cost = 1, commit = 1): Promise<Answer> {
      await redis.set(`${this.key}:clock`, String(nowUs), 'PX', 60_000);
      const parts = [commit, cost, this.limit, this.windowMs * 1000];
      const reply = (await redis.eval(SCRIPT, 1, this.key, ...parts)) as number[];
      const [allowed, remaining, resetMs, waitMs] = reply as [number, number, number, number];
      return { allowed: allowed === 1, remaining, resetMs, waitMs };
    }
  }

  it('agrees with a reference model and never exceeds a trailing window', async () => {
    const seed = randomInt(2 ** 31);
    const random = mulberry32(seed);
    const pick = (max: number) => Math.floor(random() * max);
    for (let round = 0; round < 12; round++) {
      const limit = [1, 3, 20, 70_000][pick(4)]!;
      const windowMs = [1, 7, 100, 60_000, 86_400_000][pick(5)]!;
      const limiter = new Limit(limit, windowMs);
      const model = new Model(limit, windowMs * 1000);
      const admitted: { atUs: number; cost: number }[] = [];
      let nowUs = EPOCH_US + pick(1e9);
      for (let step = 0; step < 60; step++) {
        nowUs += [0, pick(10), pick(windowMs * 20), pick(windowMs * 200), pick(windowMs * 2000)][pick(5)]!;
        const cost = 1 + pick(Math.min(limit, pick(4) === 0 ? limit : 1 + limit / 5));
        const answer = await limiter.at(nowUs, cost);
        expect({ seed, round, step, answer }).toEqual({
          seed,
          round,
          step,
          answer: model.consume(nowUs, cost),
        });
        if (answer.allowed) admitted.push({ atUs: nowUs, cost });
      }
      expect({ seed, round, worst: worstWindow(admitted, windowMs * 1000) <= limit }).toMatchObject({
        worst: true,
      });
    }
  });

  it('tells the shortest wait there is', async () => {
    const limiter = new Limit(10, 1000);
    for (let i = 0; i < 10; i++) await limiter.at(EPOCH_US + i * 60_000);
    const askedUs = EPOCH_US + 700_000;

    const { allowed, waitMs } = await limiter.at(askedUs, 3);

    expect(allowed).toBe(false);
    expect((await limiter.at(askedUs + (waitMs - 1) * 1000, 3, 0)).allowed).toBe(false);
    expect((await limiter.at(askedUs + waitMs * 1000, 3, 0)).allowed).toBe(true);
  });

  it('lets at least 20/21 of the limit through under a flood', async () => {
    const limiter = new Limit(100, 1000);
    let admitted = 0;
    for (let ms = 0; ms < 4000; ms += 5) if ((await limiter.at(EPOCH_US + ms * 1000)).allowed) admitted += 1;

    expect(admitted).toBeGreaterThanOrEqual(4 * 100 * (20 / 21) - 1);
    expect(admitted).toBeLessThanOrEqual(4 * 100);
  });

  it('refuses for one window at most when the clock goes back an hour, and writes once', async () => {
    const limiter = new Limit(5, 1000);
    await limiter.at(EPOCH_US, 5);
    const backUs = EPOCH_US - 3_600_000_000;

    const first = await limiter.at(backUs);
    const dated = await redis.getBuffer(limiter.key);
    const second = await limiter.at(backUs + 100_000);

    expect([first.allowed, second.allowed]).toEqual([false, false]);
    expect(first.waitMs).toBeLessThanOrEqual(1050);
    expect(await redis.getBuffer(limiter.key)).toEqual(dated);
    expect((await limiter.at(backUs + first.waitMs * 1000, 5)).allowed).toBe(true);
  });

  it('does not date a counter anew when it only looks', async () => {
    const limiter = new Limit(5, 1000);
    await limiter.at(EPOCH_US, 5);
    const before = await redis.getBuffer(limiter.key);

    await limiter.at(EPOCH_US - 3_600_000_000, 1, 0);

    expect(await redis.getBuffer(limiter.key)).toEqual(before);
  });
}

/** The rule in its plainest form: a map from sub-window to count. */
class Model {
  private readonly counts = new Map<number, number>();

  constructor(
    private readonly limit: number,
    private readonly windowUs: number,
  ) {}

  consume(nowUs: number, cost: number): Answer {
    const spanUs = this.windowUs / SUB_WINDOWS;
    const index = Number(BigInt(nowUs) / BigInt(spanUs));
    const counted = [...this.counts].filter(([at]) => at >= index - SUB_WINDOWS).sort(([a], [b]) => a - b);
    const leavesMs = (at: number) => Math.ceil(((at + SUB_WINDOWS + 1) * spanUs - nowUs) / 1000);
    let total = counted.reduce((sum, [, count]) => sum + count, 0);
    let excess = total + cost - this.limit;
    const allowed = excess <= 0;
    const waitMs = allowed ? 0 : leavesMs(counted.find(([, count]) => (excess -= count) <= 0)![0]);
    if (allowed) {
      this.counts.set(index, (this.counts.get(index) ?? 0) + cost);
      total += cost;
    }
    const newest = allowed ? index : counted.at(-1)![0];
    return { allowed, remaining: this.limit - total, resetMs: leavesMs(newest), waitMs };
  }
}

/** Most units admitted in any span of one window; spans that matter end at an admission. */
function worstWindow(admitted: readonly { atUs: number; cost: number }[], windowUs: number): number {
  const sums = admitted.map(({ atUs: endUs }) =>
    admitted
      .filter(({ atUs }) => atUs > endUs - windowUs && atUs <= endUs)
      .reduce((sum, { cost }) => sum + cost, 0),
  );
  return Math.max(0, ...sums);
}

function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
