import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { ConnectionRegistry, type RedisClient, type SubscriptionGap } from 'rednest';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { failure } from '../support/failure.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startNative, type NativeServer } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

/** Beat and deadline together, and what a loaded machine may add. */
const DETECTION_MS = 2000;
const MARGIN_MS = 1000;

describeNative('subscriptions under faults', () => {
  let server: NativeServer;
  let proxy: FaultProxy;
  /** Under test: reaches the server through the proxy. */
  let module: TestingModule;
  /** Publishes and observes: reaches the server directly. */
  let control: TestingModule;
  let log: TestLog;
  let app: string;
  const warnings: string[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning.message);

  beforeEach(async () => {
    process.on('warning', onWarning);
    app = uniquePrefix();
    log = new TestLog();
    server = await startNative(['--client-output-buffer-limit', 'pubsub 1mb 0 0']);
    proxy = await FaultProxy.listen(server.port);
    module = await createModule({ redis: { url: proxy.url, app, logger: log } });
    control = await createModule({ redis: { url: server.url, app } });
  });
  afterEach(async () => {
    server.resume();
    proxy.heal();
    await Promise.all([module.close(), control.close()]);
    await proxy.close();
    await server.stop();
    process.off('warning', onWarning);
    expect(warnings.splice(0)).toEqual([]);
    await eventually('no sockets are left', () => openSockets() === 0, 2000);
  });

  const subscriber = () => inject(module, ConnectionRegistry).subscriber();
  const redis = (): RedisClient => inject(control, ConnectionRegistry).client();
  const numsub = async (channel: string): Promise<number> =>
    Number(((await redis().call('PUBSUB', 'NUMSUB', channel)) as unknown[])[1]);
  const isReady = (role: string): boolean =>
    inject(module, ConnectionRegistry)
      .snapshot()
      .some((link) => link.role === role && link.state === 'ready');

  /** Publishes a number every 10 ms, and notes when each was published and whether it arrived. */
  async function stream() {
    const sentAtMs: number[] = [];
    const arrived = new Set<number>();
    const gaps: SubscriptionGap[] = [];
    await subscriber().subscribe(app, ({ text }) => arrived.add(Number(text)), {
      onGap: (gap) => gaps.push(gap),
    });
    const pending = new Set<Promise<unknown>>();
    const timer = setInterval(() => {
      const message = sentAtMs.push(Date.now()) - 1;
      const publishing = redis()
        .publish(app, String(message))
        // Not published: there is nothing to miss.
        .catch(() => arrived.add(message))
        .finally(() => pending.delete(publishing));
      pending.add(publishing);
    }, 10);
    const missed = (): number[] => sentAtMs.flatMap((_, index) => (arrived.has(index) ? [] : [index]));
    const stop = async (): Promise<number[]> => {
      clearInterval(timer);
      await Promise.all(pending);
      // One that is certainly published after the last gap.
      await redis().publish(app, String(sentAtMs.push(Date.now()) - 1));
      await eventually('the last message', () => arrived.has(sentAtMs.length - 1));
      return missed();
    };
    return { sentAtMs, gaps, arrived, stop };
  }

  /** Every message that did not arrive was published inside a gap that was reported. */
  function expectExplained(
    missed: readonly number[],
    sentAtMs: readonly number[],
    gaps: SubscriptionGap[],
  ): void {
    const unexplained = missed.filter(
      (index) =>
        !gaps.some(
          ({ fromMs, durationMs }) =>
            sentAtMs[index]! >= fromMs - 1 && sentAtMs[index]! <= fromMs + durationMs + 1,
        ),
    );
    expect(unexplained).toEqual([]);
  }

  it('F19 notices a half-open socket within 2 s, subscribes again and reports the gap', async () => {
    const { sentAtMs, gaps, stop } = await stream();
    const faultAtMs = performance.now();

    proxy.freezeExisting();
    await eventually('noticed', () => !isReady('subscriber'));
    const noticedMs = performance.now() - faultAtMs;
    await eventually('gap reported', () => gaps.length > 0);
    const backMs = performance.now() - faultAtMs;
    const missed = await stop();

    print('half-open (F19)', { noticedMs, backMs, gapMs: gaps[0]!.durationMs, missed: missed.length });
    expect(noticedMs).toBeLessThan(DETECTION_MS + MARGIN_MS);
    expect(backMs).toBeLessThan(DETECTION_MS + 300 + MARGIN_MS);
    expect(gaps).toHaveLength(1);
    expect(missed.length).toBeGreaterThan(0);
    expectExplained(missed, sentAtMs, gaps);
    expect(log.text).toContain('HEARTBEAT_TIMEOUT');
    expect(subscriber().snapshot()).toMatchObject({ gaps: 1, heartbeatTimeouts: 1, active: 1 });
  });

  it('F19 notices a frozen server within 2 s and is back when it goes on', async () => {
    const gaps: SubscriptionGap[] = [];
    const seen: string[] = [];
    await subscriber().subscribe(app, ({ text }) => seen.push(text), { onGap: (gap) => gaps.push(gap) });
    const faultAtMs = performance.now();

    server.freeze();
    await eventually('noticed', () => !isReady('subscriber'));
    const noticedMs = performance.now() - faultAtMs;
    const late = await failure(subscriber().subscribe(`${app}:late`, () => undefined, { deadlineMs: 200 }));
    server.resume();
    const resumedAtMs = performance.now();
    await eventually('gap reported', () => gaps.length > 0);
    const backMs = performance.now() - resumedAtMs;
    await redis().publish(app, 'after');
    await eventually('messages flow', () => seen.includes('after'));

    print('frozen server', { noticedMs, backMs, gapMs: gaps[0]!.durationMs });
    expect(noticedMs).toBeLessThan(DETECTION_MS + MARGIN_MS);
    expect(backMs).toBeLessThan(2000 + MARGIN_MS);
    expect(late).toMatchObject({ outcome: 'not-sent' });
    expect(await numsub(`${app}:late`)).toBe(0);
  });

  it('reports what is known of a subscribe that a frozen server never answered, and leaves nothing', async () => {
    await subscriber().subscribe(app, () => undefined);
    server.freeze();

    const error = await failure(subscriber().subscribe(`${app}:b`, () => undefined, { deadlineMs: 100 }));
    server.resume();

    expect(error).toMatchObject({ code: 'ERR_REDIS_TIMEOUT', outcome: 'unknown' });
    await eventually('no subscription is left', async () => (await numsub(`${app}:b`)) === 0);
    expect(await numsub(app)).toBe(1);
  });

  it('survives a killed server: rejects new listeners fast, keeps the old ones', async () => {
    const gaps: SubscriptionGap[] = [];
    const seen: string[] = [];
    await subscriber().subscribe(app, ({ text }) => seen.push(text), { onGap: (gap) => gaps.push(gap) });

    await server.kill();
    const first = await failure(subscriber().subscribe(`${app}:new`, () => undefined, { deadlineMs: 300 }));
    await eventually('known to be away', async () => {
      const startedMs = performance.now();
      const error = await failure(subscriber().subscribe(`${app}:new`, () => undefined, { deadlineMs: 300 }));
      return performance.now() - startedMs < 10 && error;
    });
    await server.restart();
    const restartedAtMs = performance.now();
    await eventually('gap reported', () => gaps.length === 1);
    const backMs = performance.now() - restartedAtMs;
    await redis().publish(app, 'after');
    await eventually('messages flow', () => seen.includes('after'));

    print('server killed', { backMs, gapMs: gaps[0]!.durationMs });
    expect(first).toMatchObject({ outcome: 'not-sent' });
    expect(backMs).toBeLessThan(1500 + MARGIN_MS);
    expect(await numsub(`${app}:new`)).toBe(0);
  });

  it('F37 is back at once after CLIENT KILL, every time', async () => {
    const { sentAtMs, gaps, stop } = await stream();
    const times: number[] = [];

    for (let round = 1; round <= 5; round += 1) {
      const killedAtMs = performance.now();
      await redis().call('CLIENT', 'KILL', 'TYPE', 'pubsub');
      await eventually(`gap ${round}`, () => gaps.length === round);
      times.push(performance.now() - killedAtMs);
    }
    const missed = await stop();

    print('CLIENT KILL (F37)', { backMs: Math.max(...times), missed: missed.length });
    expect(Math.max(...times)).toBeLessThan(200 + MARGIN_MS);
    expectExplained(missed, sentAtMs, gaps);
    expect(await numsub(app)).toBe(1);
    expect(subscriber().snapshot()).toMatchObject({ gaps: 5, heartbeatTimeouts: 0 });
  });

  it('F38 reports the gap when the server cut a slow subscriber off', async () => {
    const arrived = new Set<string>();
    const gaps: SubscriptionGap[] = [];
    await subscriber().subscribe(app, ({ text }) => arrived.add(text.slice(0, 8)), {
      onGap: (gap) => gaps.push(gap),
    });
    const body = 'x'.repeat(5000);
    const publish = (count: number, from: number) =>
      Promise.all(
        Array.from({ length: count }, (_, index) =>
          redis().publish(app, `${from + index}`.padStart(8, '0') + body),
        ),
      );

    proxy.freezeExisting();
    const startedWallMs = Date.now();
    let sent = 0;
    await eventually('cut off', async () => {
      await publish(500, sent);
      sent += 500;
      return (await numsub(app)) === 0;
    });
    const endedWallMs = Date.now();
    proxy.heal();
    await eventually('gap reported', () => gaps.length === 1);
    await publish(1, sent);
    await eventually('messages flow', () => arrived.has(String(sent).padStart(8, '0')));

    const lost = sent + 1 - arrived.size;
    const { fromMs, durationMs } = gaps[0]!;
    print('output buffer (F38)', { sent, lost, gapMs: durationMs });
    expect(lost).toBeGreaterThan(0);
    expect(fromMs).toBeLessThanOrEqual(startedWallMs + 1);
    expect(fromMs + durationMs).toBeGreaterThanOrEqual(endedWallMs);
    expect(gaps).toHaveLength(1);
  });

  it('F40 keeps a healthy connection through an event loop blocked for 2.5 s', async () => {
    const { gaps, stop } = await stream();
    const endMs = performance.now() + 2500;
    while (performance.now() < endMs);
    const missed = await stop();

    expect(missed).toEqual([]);
    expect(gaps).toEqual([]);
    expect(subscriber().snapshot()).toMatchObject({ heartbeatTimeouts: 0 });
  });

  it('keeps the connection of a server that answers PING with a refusal', async () => {
    const messages: string[] = [];
    const gaps: SubscriptionGap[] = [];
    await subscriber().subscribe(app, ({ text }) => messages.push(text), { onGap: (gap) => gaps.push(gap) });
    const [, dir] = (await redis().call('CONFIG', 'GET', 'dir')) as string[];
    // A folder in the place of the snapshot: a server that cannot save refuses PING.
    mkdirSync(join(dir!, 'dump.rdb'));
    await redis().call('CONFIG', 'SET', 'save', '3600 1');
    await redis().call('BGSAVE');
    await eventually('PING is refused', async () =>
      String(await failure(redis().ping())).includes('MISCONF'),
    );
    const { accepted } = proxy.counters;

    const endMs = performance.now() + 4_000;
    await eventually('some heartbeats', () => performance.now() > endMs);
    await redis().publish(app, 'still there');
    await eventually('it arrives', () => messages.includes('still there'));

    expect(proxy.counters.accepted).toBe(accepted);
    expect(gaps).toEqual([]);
  }, 20_000);

  it('settles random operations while the connection keeps breaking', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    process.stderr.write(`operations under faults: seed ${seed}\n`);
    let state = seed;
    const random = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
    const channels = Array.from({ length: 8 }, (_, index) => `${app}:${index}`);
    const held = channels.map((): Promise<(() => Promise<void>) | undefined>[] => []);
    const ends: Promise<unknown>[] = [];
    for (let operation = 0; operation < 600; operation += 1) {
      const index = Math.floor(random() * channels.length);
      const join = subscriber().subscribe(channels[index]!, () => undefined);
      if (random() < 0.55) held[index]!.push(join.catch(() => undefined));
      else ends.push(join.then((unsubscribe) => unsubscribe()).catch(() => undefined));
      const taken = random() < 0.4 ? held[index]!.pop() : undefined;
      if (taken) ends.push(taken.then((unsubscribe) => unsubscribe?.()));
      if (operation % 120 === 60) proxy.reset();
      if (operation % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 3));
    }
    await Promise.all([...ends, ...held.flat()]);
    const left = await Promise.all(
      held.map(async (list) => (await Promise.all(list)).filter((unsubscribe) => unsubscribe).length),
    );

    await eventually('the server agrees', async () => {
      const counts = await Promise.all(channels.map(numsub));
      return counts.every((count, index) => count === Math.min(1, left[index]!));
    });
    expect(subscriber().snapshot().listeners).toBe(left.reduce((sum, count) => sum + count, 0));
  });

  it('wakes all waiters after a gap, also those that began to wait without a connection', async () => {
    const wakeUps = inject(module, ConnectionRegistry).wakeUps();
    const before = wakeUps.listen('a');
    expect(await before.wait({ deadlineMs: 5000 })).toBe(true);
    const waits = [before.wait({ deadlineMs: 10_000 })];

    await server.kill();
    await eventually('noticed', () => !isReady('subscriber'));
    waits.push(wakeUps.wait('b', { deadlineMs: 10_000 }));
    const impatient = await wakeUps.wait('c', { deadlineMs: 50 });
    const refused = await failure(wakeUps.wake('a', { deadlineMs: 200 }));
    await server.restart();

    expect(await Promise.all(waits)).toEqual([true, true]);
    expect(impatient).toBe(false);
    expect(refused).toMatchObject({ outcome: 'not-sent' });
    before.close();
  });

  it('tracking: disarms within 2 s of a half-open socket, drops everything and arms again', async () => {
    const tracking = inject(module, ConnectionRegistry).tracking('default', [`${app}:`]);
    const events: string[] = [];
    tracking.on('armed', () => events.push('armed'));
    tracking.on('disarmed', () => events.push('disarmed'));
    tracking.on('invalidate', (keys) => events.push(keys ? keys.map(String).join('|') : 'everything'));
    await eventually('armed', () => tracking.isArmed);

    for (const [what, breakIt, limitMs] of [
      ['half-open', () => proxy.freezeExisting(), DETECTION_MS],
      ['CLIENT KILL', () => redis().call('CLIENT', 'KILL', 'TYPE', 'pubsub'), 0],
      ['server killed', () => server.restart(), DETECTION_MS],
    ] as const) {
      events.length = 0;
      const faultAtMs = performance.now();
      await breakIt();
      await eventually('disarmed', () => events.includes('disarmed'));
      const noticedMs = performance.now() - faultAtMs;
      await eventually('armed again', () => tracking.isArmed);
      const backMs = performance.now() - faultAtMs;
      await eventually('written', async () => (await failure(redis().set(`${app}:k`, what))) === undefined);
      await eventually('invalidation', () => events.length > 3);

      print(`tracking, ${what}`, { noticedMs, backMs });
      expect(events.slice(0, 4)).toEqual(['disarmed', 'everything', 'armed', `${app}:k`]);
      expect(noticedMs).toBeLessThan(limitMs + MARGIN_MS);
      expect(backMs).toBeLessThan(limitMs + 300 + MARGIN_MS);
    }
  }, 30_000);
});

function openSockets(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind.startsWith('TCP')).length;
}

function print(what: string, figures: Record<string, number>): void {
  const text = Object.entries(figures).map(([name, value]) => `${name} ${Math.round(value)}`);
  process.stderr.write(`${what}: ${text.join(', ')}\n`);
}
