import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { ChannelMessage, ConnectionRegistry, type RedisClient, type Unsubscribe } from 'rednest';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { uniquePrefix } from '../support/prefix.js';
import { startEmbedded, type TestServer } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

let server: TestServer;
let app: string;
let module: TestingModule;
let log: TestLog;
const open: TestingModule[] = [];

/** A process of the application: a module of its own, with its own connections. */
async function start(): Promise<TestingModule> {
  const started = await createModule({ redis: { url: server.url, app, logger: log } });
  open.push(started);
  return started;
}

const registry = (of = module) => inject(of, ConnectionRegistry);
const redis = (): RedisClient => registry().client();
const numsub = async (...channels: string[]): Promise<number[]> => {
  const reply = (await redis().call('PUBSUB', 'NUMSUB', ...channels)) as (string | number)[];
  return channels.map((_, index) => Number(reply[index * 2 + 1]));
};
const failure = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error: unknown) => error,
  );

beforeAll(async () => {
  server = await startEmbedded();
});
afterAll(() => server.stop());
beforeEach(async () => {
  app = uniquePrefix();
  log = new TestLog();
  module = await start();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((started) => started.close()));
});

describe('Subscriber', () => {
  it('gives every listener of a channel the same message, over one subscription', async () => {
    const channel = `${app}:news`;
    const seen: ChannelMessage[] = [];
    for (let index = 0; index < 3; index += 1) {
      await registry()
        .subscriber()
        .subscribe(channel, (message) => seen.push(message));
    }

    await redis().publish(channel, 'grüße');
    await eventually('three deliveries', () => seen.length === 3);

    expect(await numsub(channel)).toEqual([1]);
    expect(new Set(seen).size).toBe(1);
    expect(seen[0]).toMatchObject({ channel, text: 'grüße', data: Buffer.from('grüße') });
    expect(registry().subscriber().snapshot()).toMatchObject({
      channels: 1,
      listeners: 3,
      active: 1,
      gaps: 0,
    });
  });

  it('opens no connection before the first subscription', async () => {
    registry()
      .subscriber()
      .onGap(() => undefined);
    registry().wakeUps();

    expect(
      registry()
        .snapshot()
        .map(({ role }) => role),
    ).toEqual(['command']);
  });

  it('carries bytes that are not text', async () => {
    const bytes = Buffer.from([0, 255, 10, 13, 128]);
    const seen: ChannelMessage[] = [];
    await registry()
      .subscriber()
      .subscribe(app, (message) => seen.push(message));

    await redis().publish(app, bytes);
    await eventually('the message', () => seen[0]);

    expect(seen[0]!.data.equals(bytes)).toBe(true);
  });

  it('delivers nothing after unsubscribe, and tells the server with the last listener', async () => {
    const counts = [0, 0];
    const subscriber = registry().subscriber();
    const first = await subscriber.subscribe(app, () => (counts[0]! += 1));
    const second = await subscriber.subscribe(app, () => (counts[1]! += 1));

    await first();
    await first();
    await redis().publish(app, 'x');
    await eventually('the second listener', () => counts[1] === 1);
    const whileOne = await numsub(app);
    await second();

    expect(counts).toEqual([0, 1]);
    expect([whileOne, await numsub(app)]).toEqual([[1], [0]]);
    expect(subscriber.snapshot()).toMatchObject({ channels: 0, listeners: 0 });
  });

  it('keeps a failing listener from the others and from the process, and logs it once', async () => {
    const seen: string[] = [];
    const subscriber = registry().subscriber();
    await subscriber.subscribe(app, () => {
      throw new Error('broken');
    });
    await subscriber.subscribe(app, () => Promise.reject(new Error('broken later')));
    await subscriber.subscribe(app, ({ text }) => seen.push(text));

    for (const text of ['a', 'b', 'c']) await redis().publish(app, text);
    await eventually('all messages', () => seen.length === 3);

    expect(seen).toEqual(['a', 'b', 'c']);
    const lines = log.lines.filter(({ message }) => String(message).includes(app));
    expect(lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });

  it('settles 1,000 random operations to exactly the subscriptions that are left', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    process.stderr.write(`subscriber operations: seed ${seed}\n`);
    const random = generator(seed);
    const subscriber = registry().subscriber();
    const channels = Array.from({ length: 12 }, (_, index) => `${app}:${index}`);
    const held = channels.map((): Promise<Unsubscribe>[] => []);
    const work: Promise<unknown>[] = [];
    for (let operation = 0; operation < 1000; operation += 1) {
      const index = Math.floor(random() * channels.length);
      const list = held[index]!;
      if (random() < 0.5) list.push(subscriber.subscribe(channels[index]!, () => undefined));
      else if (list.length > 0) {
        const [taken] = list.splice(Math.floor(random() * list.length), 1);
        work.push(taken!.then((unsubscribe) => unsubscribe()));
      }
      if (random() < 0.2) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all([...work, ...held.flat()]);

    expect(await numsub(...channels)).toEqual(held.map((list) => Math.min(1, list.length)));
    expect(subscriber.snapshot().listeners).toBe(held.flat().length);

    await Promise.all(held.flat().map(async (taken) => (await taken)()));
    expect(await numsub(...channels)).toEqual(channels.map(() => 0));
  });

  it('rejects a channel the user may not listen to, and leaves the others alone', async () => {
    const user = uniquePrefix();
    await redis().call(
      'ACL',
      'SETUSER',
      user,
      'on',
      '>pw',
      '+@all',
      'allkeys',
      'resetchannels',
      `&${app}:ok`,
    );
    const url = server.url.replace('redis://', `redis://${user}:pw@`);
    const limited = await createModule({ redis: { url, app, logger: log } });
    open.push(limited);
    const subscriber = registry(limited).subscriber();
    await subscriber.subscribe(`${app}:ok`, () => undefined);

    const error = await failure(subscriber.subscribe(`${app}:secret`, () => undefined));

    expect(error).toMatchObject({ code: 'ERR_REDIS_COMMAND', reply: 'NOPERM', outcome: 'refused' });
    expect(await numsub(`${app}:ok`, `${app}:secret`)).toEqual([1, 0]);
    expect(subscriber.snapshot()).toMatchObject({ channels: 1, listeners: 1 });
  });

  it('ends a subscribe when its signal is aborted, with nothing left behind', async () => {
    const controller = new AbortController();
    const subscriber = registry().subscriber();
    const waiting = failure(subscriber.subscribe(app, () => undefined, { signal: controller.signal }));

    controller.abort();

    expect(await waiting).toMatchObject({ code: 'ERR_REDIS_ABORTED' });
    await eventually('no subscription', async () => (await numsub(app))[0] === 0);
    expect(subscriber.snapshot()).toMatchObject({ listeners: 0 });
  });

  it('refuses after the application has closed, and its handles still work', async () => {
    const subscriber = registry().subscriber();
    const unsubscribe = await subscriber.subscribe(app, () => undefined);

    await module.close();

    expect(await failure(subscriber.subscribe(app, () => undefined))).toMatchObject({ outcome: 'not-sent' });
    await unsubscribe();
    await subscriber.attach(app, () => undefined)();
  });
});

describe('WakeUpChannel', () => {
  it('wakes all who wait for the name, in every process, and nobody else', async () => {
    const other = await start();
    const listeners = [registry(), registry(other)].map((each) => each.wakeUps().listen('job:1'));
    const bystander = registry().wakeUps().listen('job:2');
    await Promise.all([...listeners, bystander].map(drain));
    const waits = listeners.map((listener) => listener.wait({ deadlineMs: 5000 }));
    const idle = bystander.wait({ deadlineMs: 5000 });

    await registry().wakeUps().wake('job:1');

    expect(await Promise.all(waits)).toEqual([true, true]);
    bystander.close();
    expect(await idle).toBe(false);
    for (const listener of listeners) listener.close();
    expect(registry().wakeUps().size).toBe(0);
  });

  it('keeps a wake-up that comes between listen and wait', async () => {
    const wakeUps = registry().wakeUps();
    const [listener, echo] = [wakeUps.listen('a'), wakeUps.listen('a')];
    await Promise.all([listener, echo].map(drain));

    await wakeUps.wake('a');
    await echo.wait({ deadlineMs: 1000 });

    expect(await listener.wait({ deadlineMs: 1000 })).toBe(true);
    expect(await listener.wait({ deadlineMs: 20 })).toBe(false);
    for (const each of [listener, echo]) each.close();
  });

  it('ends at the deadline, with the signal and with the application', async () => {
    const wakeUps = registry().wakeUps();
    await drain(wakeUps.listen('b'));
    const controller = new AbortController();
    const startedMs = performance.now();

    const atDeadline = await wakeUps.wait('b', { deadlineMs: 30 });
    const tookMs = performance.now() - startedMs;
    const aborted = wakeUps.wait('b', { deadlineMs: 5000, signal: controller.signal });
    controller.abort();
    const closing = wakeUps.wait('b', { deadlineMs: 5000 });
    await module.close();

    expect([atDeadline, await aborted, await closing]).toEqual([false, false, false]);
    expect(tookMs).toBeGreaterThanOrEqual(29);
    expect(await wakeUps.wait('b', { deadlineMs: 5000 })).toBe(false);
  });

  it('hands over in a round trip', async () => {
    const wakeUps = registry().wakeUps();
    const listener = wakeUps.listen('c');
    await drain(listener);
    const times: number[] = [];

    for (let index = 0; index < 50; index += 1) {
      const woken = listener.wait({ deadlineMs: 1000 });
      const startedMs = performance.now();
      await wakeUps.wake('c');
      expect(await woken).toBe(true);
      times.push(performance.now() - startedMs);
    }

    const medianMs = times.sort((a, b) => a - b)[25]!;
    process.stderr.write(`wake-up from publish to waiter: median ${medianMs.toFixed(2)} ms\n`);
    expect(medianMs).toBeLessThan(50);
    listener.close();
  });
});

describe('TrackingConnection', () => {
  it('reports changed keys under its prefixes, and everything after a flush', async () => {
    const tracking = registry().tracking('default', [`${app}:a:`, `${app}:b:`]);
    const seen: (string[] | null)[] = [];
    tracking.on('invalidate', (keys) => seen.push(keys && keys.map(String)));
    await eventually('armed', () => tracking.isArmed);
    const atArming = seen.splice(0);

    await redis().set(`${app}:a:x,y`, '1');
    await redis().set(`${app}:other`, '1');
    await redis().set(`${app}:b:1`, '1');
    await eventually('two keys', () => seen.length === 2);
    await redis().flushdb();
    await eventually('a flush', () => seen.length === 3);

    expect(atArming).toEqual([null]);
    expect(seen).toEqual([[`${app}:a:x,y`], [`${app}:b:1`], null]);
    expect(tracking.snapshot()).toEqual({ isArmed: true, arms: 1, heartbeatTimeouts: 0 });
  });

  it('is one per server: other prefixes, overlapping ones and none are refused', async () => {
    const tracking = registry().tracking('default', [`${app}:a:`]);

    expect(registry().tracking('default', [`${app}:a:`])).toBe(tracking);
    expect(() => registry().tracking('default', [`${app}:b:`])).toThrow(/other prefixes/);
    const other = await start();
    expect(() => registry(other).tracking('default', ['a:', 'a:b:'])).toThrow(/overlap/);
    expect(() => registry(other).tracking('default', [])).toThrow(/at least one/);
  });

  it('tells its listeners that it is armed, and disarmed when the application closes', async () => {
    const events: string[] = [];
    const tracking = registry().tracking('default', [`${app}:`]);
    tracking.on('armed', () => events.push('armed'));
    tracking.on('disarmed', () => events.push('disarmed'));
    await eventually('armed', () => events.length === 1);

    await module.close();

    expect(events).toEqual(['armed', 'disarmed']);
    expect(tracking.isArmed).toBe(false);
  });
});

/** Takes the wake-up that tells of the confirmed subscription. */
async function drain(listener: { wait(wait: { deadlineMs: number }): Promise<boolean> }): Promise<void> {
  expect(await listener.wait({ deadlineMs: 5000 })).toBe(true);
}

/** @see https://en.wikipedia.org/wiki/Linear_congruential_generator */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
