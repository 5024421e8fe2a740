import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { DIAGNOSTICS, REDIS, type RateLimitDiagnostic, type RedisClient } from 'rednest';
import { RateLimiter, RateLimitModule, RateLimitUnavailableError, type Policy } from 'rednest/rate-limit';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { LimiterProcess } from '../support/limiter/limiter-process.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startNative, type NativeServer } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

const HUNDRED: Policy = { name: 'hundred', limit: 100, window: '1h' };
const OPEN: Policy = { ...HUNDRED, name: 'open', onError: 'open' };
const CLOSED: Policy = { ...HUNDRED, name: 'closed', onError: 'closed' };
const TIMEOUT_MS = 50;
/** How much later than a plain timer a call may end; in this process, which is busy itself, plus what it stalled. */
const EPSILON_MS = 50;

describeNative('RateLimiter without Redis', () => {
  let server: NativeServer;
  let module: TestingModule;
  let limiter: RateLimiter;
  const log = new TestLog();

  beforeAll(async () => {
    server = await startNative();
    module = await createModule({
      redis: { url: server.url },
      imports: [RateLimitModule.forRoot({ instances: 4 })],
    });
    module.useLogger(log);
    limiter = inject(module, RateLimiter);
    await redisDecides();
  });

  afterAll(async () => {
    await module?.close();
    await server?.stop();
  });

  const redisDecides = (): Promise<true> =>
    eventually(
      'a decision of the server',
      async () => (await limiter.consume(uniquePrefix(), HUNDRED)).source === 'redis',
    );

  /** What the log says about the limits, one `warn` or `log` per line. */
  const said = (): string[] =>
    log.lines.filter(({ message }) => String(message).includes('rate limits')).map(({ level }) => level);

  /** The log has told of the end of everything it told the beginning of: a busy machine is late now and then. */
  const quiet = (): Promise<true> =>
    eventually(
      'a log without an open outage',
      async () => {
        await redisDecides();
        return said().at(-1) !== 'warn';
      },
      30_000,
    );

  /**
   * How long a call took, and how long after a plain timer of the same deadline, started with it, it ended. On a busy
   * machine both are late; the call is not to be later than the timer.
   */
  const timed = async <T>(
    call: () => Promise<T>,
  ): Promise<{ value: T; ms: number; afterTimerMs: number }> => {
    const startedMs = performance.now();
    let timerMs = Infinity;
    const timer = setTimeout(() => (timerMs = performance.now()), TIMEOUT_MS);
    const value = await call();
    const endedMs = performance.now();
    clearTimeout(timer);
    return { value, ms: endedMs - startedMs, afterTimerMs: Math.max(0, endedMs - timerMs) };
  };

  /** Decisions the server has made. */
  const decided = async (redis: RedisClient): Promise<number> =>
    Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0);

  const failsClosed = async (): Promise<void> => {
    const error: unknown = await limiter.consume('me', [OPEN, CLOSED]).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(RateLimitUnavailableError);
    expect(error).toMatchObject({ code: 'ERR_RATE_LIMIT_UNAVAILABLE', policies: ['open', 'closed'] });
    await expect(limiter.reset('me', OPEN)).rejects.toBeInstanceOf(RateLimitUnavailableError);
  };

  it.each(['frozen', 'gone'] as const)(
    'waits once when the server is %s, then decides in memory',
    async (state) => {
      const id = uniquePrefix();
      await quiet();
      log.lines.length = 0;
      if (state === 'frozen') server.freeze();
      else await server.kill();

      const loop = monitorEventLoopDelay({ resolution: 1 });
      loop.enable();
      const first = await timed(() => limiter.consume(id, HUNDRED));
      const stallMs = loop.max / 1e6;
      loop.disable();
      const later: number[] = [];
      const startedCpu = process.cpuUsage();
      for (let call = 0; call < 200; call += 1)
        later.push((await timed(() => limiter.consume(id, HUNDRED))).ms);
      const spent = process.cpuUsage(startedCpu);
      const cpuUs = spent.user + spent.system;
      const full = await limiter.peek(id, HUNDRED);
      const { awayForMs, source } = limiter.status;
      await failsClosed();
      const uncounted = await limiter.consume(id, OPEN);
      const mixed = await limiter.consume(uniquePrefix(), [OPEN, HUNDRED]);
      if (state === 'frozen') server.resume();
      else await server.restart();
      await redisDecides();

      expect(first.afterTimerMs).toBeLessThan(EPSILON_MS + stallMs);
      expect(first.value.source).toBe('local');
      later.sort((a, b) => a - b);
      process.stderr.write(
        `${state}: first ${first.ms.toFixed(1)} ms, ${first.afterTimerMs.toFixed(1)} ms after a timer of ${TIMEOUT_MS} ms; later p50 ${later[100]!.toFixed(3)} ms, CPU ${(cpuUs / 200).toFixed(0)} us\n`,
      );
      // The median and the CPU time: a busy machine takes a process off its core now and then.
      expect(later[100]).toBeLessThan(1);
      expect(cpuUs / 200).toBeLessThan(1000);
      // A quarter of the limit, for one instance of four.
      expect(full).toMatchObject({
        allowed: false,
        source: 'local',
        policies: [{ limit: 100, remaining: 0 }],
      });
      expect(source).toBe('local');
      expect(awayForMs).toBeGreaterThan(0);
      expect(uncounted).toEqual({
        allowed: true,
        violated: [],
        shadowed: [],
        retryAfterMs: 0,
        source: 'open',
        policies: [],
      });
      expect(mixed).toMatchObject({
        allowed: true,
        source: 'local',
        policies: [{ name: 'hundred', remaining: 24 }],
      });
      await eventually(
        'the status',
        () => limiter.status.source === 'redis' && limiter.status.awayForMs === 0,
      );
      await eventually(
        'the line about the recovery',
        async () => {
          await limiter.consume(uniquePrefix(), HUNDRED);
          return said().length >= 2;
        },
        30_000,
      );
      // One line at each end, and again when a busy machine makes the server late; not one per decision.
      expect(said().slice(0, 2)).toEqual(['warn', 'log']);
      expect(said().length).toBeLessThan(20);
    },
    60_000,
  );

  it.each(['killed', 'frozen'] as const)(
    'ends every decision in time when the server is %s amid them',
    async (state) => {
      const prefix = uniquePrefix();
      const policy: Policy = { name: 'amid', limit: 1_000_000, window: '1h' };
      // A process of its own, idle most of the time: what it measures is not what this one is busy with.
      const worker = await LimiterProcess.start(server.url, prefix, { timeout: TIMEOUT_MS });
      const redis = module.get<RedisClient>(REDIS);
      try {
        // Not what a decision costs that is the first of its process.
        await worker.flood('me', policy, 200);
        const watched = worker.watch('me', policy, 2500, TIMEOUT_MS);
        const before = await decided(redis);
        await eventually('decisions of the server', async () => (await decided(redis)) > before + 20);
        if (state === 'killed') await server.kill();
        else server.freeze();
        const calls = await watched;

        const local = calls.filter(({ source }) => source === 'local');
        const firstEndMs = Math.min(...local.map(({ endedMs }) => endedMs));
        const later = local.filter(({ startedMs }) => startedMs > firstEndMs);
        const took = (list: typeof calls): number[] =>
          list.map(({ startedMs, endedMs }) => endedMs - startedMs).sort((a, b) => a - b);
        const [all, quick] = [took(calls), took(later)];
        const afterTimerMs = Math.max(...calls.map((call) => call.afterTimerMs));
        process.stderr.write(
          `${state}: ${calls.length} decisions, ${calls.length - local.length} by the server, slowest ${all.at(-1)!.toFixed(1)} ms, ` +
            `${afterTimerMs.toFixed(1)} ms after a timer of ${TIMEOUT_MS} ms; ${later.length} later ones: ` +
            `p50 ${quick[Math.floor(quick.length / 2)]!.toFixed(3)} ms, p99 ${quick[Math.floor(quick.length * 0.99)]!.toFixed(3)} ms, slowest ${quick.at(-1)!.toFixed(3)} ms\n`,
        );
        expect(calls.length - local.length).toBeGreaterThan(0);
        expect(later.length).toBeGreaterThan(500);
        expect(afterTimerMs).toBeLessThan(EPSILON_MS);
        // Later ones wait for nothing, not even for a turn of the event loop.
        expect(later.filter(({ sameTurn }) => !sameTurn)).toEqual([]);
        expect(quick[Math.floor(quick.length / 2)]).toBeLessThan(1);
      } finally {
        await worker.kill();
        if (state === 'killed') await server.restart();
        else server.resume();
      }
      await redisDecides();
    },
    30_000,
  );

  it('sends no decision again that a killed server did not answer', async () => {
    const ids = Array.from({ length: 8 }, () => uniquePrefix());
    const policy: Policy = { name: 'flood', limit: 1_000_000, window: '1h' };
    const sent = { calls: 0, local: 0, redis: 0, slowestMs: 0, afterTimerMs: 0 };
    const run = { isOver: false };
    const lane = async (id: string): Promise<void> => {
      while (!run.isOver) {
        const { value, ms, afterTimerMs } = await timed(() => limiter.consume(id, policy));
        sent.calls += 1;
        sent[value.source === 'redis' ? 'redis' : 'local'] += 1;
        sent.slowestMs = Math.max(sent.slowestMs, ms);
        sent.afterTimerMs = Math.max(sent.afterTimerMs, afterTimerMs);
        // Lets timers and sockets of this process have their turn.
        if (value.source !== 'redis') await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const loop = monitorEventLoopDelay({ resolution: 1 });
    loop.enable();
    const flood = Promise.all(ids.map(lane));
    await eventually('a flood', () => sent.redis > 500);
    await server.kill();
    await eventually('decisions in memory', () => sent.local > 500);
    run.isOver = true;
    await flood;
    loop.disable();
    const stallMs = loop.max / 1e6;
    const redis = module.get<RedisClient>(REDIS);
    await server.restart();
    await eventually('the connection', () => redis.status === 'ready');
    // A new server counts from nothing: whatever is sent late would show.
    expect(await decided(redis)).toBe(0);
    expect(await redis.keys('*')).toEqual([]);
    process.stderr.write(
      `flood: slowest ${sent.slowestMs.toFixed(1)} ms, ${sent.afterTimerMs.toFixed(1)} ms after a timer of ${TIMEOUT_MS} ms\n`,
    );
    expect(sent.afterTimerMs).toBeLessThan(EPSILON_MS + stallMs);
    await redisDecides();
    const again = await limiter.peek(ids[0]!, policy);
    expect(again).toMatchObject({ source: 'redis', policies: [{ remaining: 1_000_000 }] });
  });

  it('gives no receipt of the server back that it cannot reach, and local ones in memory', async () => {
    const { id, receipt } = await eventually('a receipt of the server', async () => {
      const own = uniquePrefix();
      const decision = await limiter.consume(own, HUNDRED);
      return decision.source === 'redis' && { id: own, receipt: decision.receipt };
    });
    server.freeze();
    const local = await limiter.consume(id, HUNDRED, { cost: 5 });
    const refunds = [await limiter.refund(receipt!), await limiter.refund(local.receipt!)];
    const state = await limiter.peek(id, HUNDRED);
    const slot = await limiter.concurrency(id, { name: 'slots', limit: 4 });
    server.resume();
    await redisDecides();

    expect(local.source).toBe('local');
    expect(refunds).toEqual([false, true]);
    expect(state).toMatchObject({ source: 'local', policies: [{ remaining: 25 }] });
    expect(slot.source).toBe('local');
    await slot.release();
  });

  it('publishes who decided', async () => {
    const heard: RateLimitDiagnostic[] = [];
    const listener = (message: unknown): void => void heard.push(message as RateLimitDiagnostic);
    subscribe(DIAGNOSTICS.rateLimit, listener);
    try {
      const id = uniquePrefix();
      const one: Policy = { ...HUNDRED, name: 'one', limit: 1 };
      for (let call = 0; call < 3; call += 1) await limiter.consume(id, one);
      server.freeze();
      await limiter.consume(id, [one, OPEN]);
      await limiter.consume(id, CLOSED).catch(() => undefined);
    } finally {
      server.resume();
      unsubscribe(DIAGNOSTICS.rateLimit, listener);
    }
    await redisDecides();

    expect(heard.map(({ policy, allowed, source }) => [policy, allowed, source])).toEqual([
      ['one', true, 'redis'],
      ['one', false, 'redis'],
      ['one', false, 'deny-cache'],
      ['one', true, 'local'],
      ['open', true, 'open'],
      ['closed', false, 'closed'],
    ]);
    expect(heard[0]).toMatchObject({ limit: 1, remaining: 0, shadow: false });
  });
});
