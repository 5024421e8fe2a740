import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import {
  ConnectionRegistry,
  REDIS,
  RedisAbortedError,
  RedisOverloadedError,
  RedisTimeoutError,
  RedisUnavailableError,
  type CallOptions,
  type RedisClient,
} from 'rednest';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { failure } from '../support/failure.js';
import { describeNative } from '../support/needs.js';
import { startNative, type NativeServer } from '../support/servers.js';
import { infoField } from '../support/topologies-node.js';
import { TestLog } from '../support/test-log.js';

describeNative('RedisExecutor under faults', () => {
  let server: NativeServer;
  let module: TestingModule;
  let log: TestLog;
  beforeEach(async () => {
    server = await startNative();
    log = new TestLog();
    module = await createModule({ redis: { url: server.url, logger: log } });
  });
  afterEach(async () => {
    server.resume();
    await module.close();
    await server.stop();
  });

  const executor = () => inject(module, ConnectionRegistry).executor();
  const ping = (options?: CallOptions) => executor().run('probe.ping', (redis) => redis.ping(), options);

  it('F15 opens the circuit after five silent calls, refuses in under a millisecond, and recovers', async () => {
    server.freeze();
    await Promise.all(Array.from({ length: 5 }, () => failure(ping({ deadlineMs: 300 }))));

    const startedMs = performance.now();
    const refused = await Promise.all(Array.from({ length: 200 }, () => failure(ping())));
    const eachMs = (performance.now() - startedMs) / refused.length;

    expect(refused.every((error) => error instanceof RedisUnavailableError)).toBe(true);
    expect(refused[0]).toMatchObject({
      outcome: 'not-sent',
      message: expect.stringContaining('circuit open'),
    });
    process.stderr.write(`refused by the open circuit: ${(eachMs * 1000).toFixed(0)} us each\n`);
    expect(eachMs).toBeLessThan(1);
    server.resume();
    await eventually('calls pass again', async () => (await failure(ping())) === undefined);
    expect(log.text).toMatch(/circuit open default/);
    expect(log.text).toMatch(/circuit closed default/);
  });

  it('leaves commands of the raw client their timeout while its own calls end at their deadline', async () => {
    const raw = inject<RedisClient>(module, REDIS);
    server.freeze();

    const startedMs = performance.now();
    const ours = failure(ping({ deadlineMs: 1000 }));
    const theirs = failure(raw.ping());

    expect(await ours).toBeInstanceOf(RedisTimeoutError);
    expect(await theirs).toMatchObject({ message: 'Command timed out' });
    expect(performance.now() - startedMs).toBeLessThan(1900);
    await eventually('the call is given up with its socket', () => executor().inFlight === 0, 4000);
  });

  it('keeps the circuit closed when a short pause outlasts short deadlines', async () => {
    const pause = executor().run('probe.pause', (redis) => redis.client('PAUSE', 100, 'ALL'));
    await pause;
    const errors = await Promise.all(Array.from({ length: 20 }, () => failure(ping({ deadlineMs: 30 }))));

    expect(errors.every((error) => error instanceof RedisTimeoutError)).toBe(true);
    expect(await failure(ping())).toBeUndefined();
    expect(log.text).not.toContain('circuit');
  });

  it('never counts an error reply as a failure of the connection', async () => {
    await Promise.all(
      Array.from({ length: 30 }, () => failure(executor().run('probe.bad', (redis) => redis.call('NOSUCH')))),
    );

    expect(await failure(ping())).toBeUndefined();
  });

  it('F21 sends an idempotent call again after its connection broke, and no other call', async () => {
    const registry = inject(module, ConnectionRegistry);
    const observer = registry.client('default', 'producer');
    const block = (key: string, options: CallOptions) =>
      failure(executor().run('probe.block', (redis) => redis.blpop(key, 5), options));
    const once = block('list-once', { deadlineMs: 3000 });
    const again = block('list-again', { deadlineMs: 3000, idempotent: true });
    await eventually('on their way', async () =>
      ((await observer.client('LIST')) as string).includes('cmd=blpop'),
    );

    await observer.call('CLIENT', 'KILL', 'TYPE', 'NORMAL', 'SKIPME', 'yes');
    await eventually('sent again', async () =>
      ((await observer.client('LIST')) as string).includes('cmd=blpop'),
    );
    await observer.rpush('list-again', 'x');

    expect(await once).toMatchObject({ code: 'ERR_REDIS_UNAVAILABLE', outcome: 'unknown' });
    expect(await again).toBeUndefined();
  });

  it('ends a call when its signal is aborted', async () => {
    const controller = new AbortController();
    const waiting = failure(
      executor().run('probe.block', (redis) => redis.blpop('none', 1), { signal: controller.signal }),
    );

    controller.abort();

    expect(await waiting).toBeInstanceOf(RedisAbortedError);
    expect(await waiting).toMatchObject({ outcome: 'unknown' });
    expect(await failure(ping({ signal: controller.signal }))).toMatchObject({ outcome: 'not-sent' });
  });

  it('follows one signal for many calls with one listener: more than ten are taken for a leak', async () => {
    const { signal } = new AbortController();
    const controller = new AbortController();

    await Promise.all(Array.from({ length: 50 }, () => ping({ signal })));
    server.freeze();
    const aborted = Array.from({ length: 50 }, () => failure(ping({ signal: controller.signal })));
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1);
    controller.abort();

    expect((await Promise.all(aborted)).every((error) => error instanceof RedisAbortedError)).toBe(true);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
  });

  it('F50 refuses more calls than it may hold, with nothing sent', async () => {
    server.freeze();
    const calls = Array.from({ length: 10_050 }, () => failure(ping({ deadlineMs: 400 })));

    const errors = await Promise.all(calls);

    const shed = errors.filter((error) => error instanceof RedisOverloadedError);
    expect(shed).toHaveLength(50);
    expect(shed[0]).toMatchObject({ code: 'ERR_REDIS_OVERLOADED', outcome: 'not-sent' });
  });

  it('F50 bounds the calls that wait for a connection, with nothing sent', async () => {
    await server.kill();
    await eventually('the loss is seen', () => !executor().isReady);
    const calls = Array.from({ length: 1100 }, () => failure(ping({ deadlineMs: 300 })));

    const errors = await Promise.all(calls);

    expect(errors.filter((error) => error instanceof RedisOverloadedError)).toHaveLength(100);
    expect(errors.every((error) => (error as RedisTimeoutError).outcome === 'not-sent')).toBe(true);
    await server.restart();
  });

  it('F40 takes answers that waited in the socket while the event loop was blocked', async () => {
    const calls = Array.from({ length: 5 }, () => failure(ping({ deadlineMs: 200 })));
    await new Promise((resolve) => setImmediate(resolve));
    const untilMs = performance.now() + 600;
    while (performance.now() < untilMs);

    expect(await Promise.all(calls)).toEqual([undefined, undefined, undefined, undefined, undefined]);
  });

  it('F40 takes an answer that came in time, also when the event loop was blocked only at the end', async () => {
    await executor().run('probe.pause', (redis) => redis.client('PAUSE', 500, 'ALL'));
    const call = failure(ping({ deadlineMs: 800 }));
    const startedMs = performance.now();
    await eventually('half of the deadline', () => performance.now() - startedMs > 400);
    // Timers are what comes next after it, before the socket is read.
    await new Promise((resolve) => setImmediate(resolve));
    while (performance.now() - startedMs < 1_000);

    expect(await call).toBeUndefined();
  });

  it.each(['in flight', 'not written yet'])('F40 keeps the socket of a call that was %s', async (when) => {
    const accepted = async (): Promise<number> =>
      Number(await infoField(server.port, 'stats', 'total_connections_received'));
    await ping();
    // Each question is a connection of its own.
    const before = await accepted();
    const call = failure(ping({ deadlineMs: 10_000 }));
    if (when === 'in flight') await new Promise((resolve) => setImmediate(resolve));
    const untilMs = performance.now() + 2_500;
    while (performance.now() < untilMs);

    expect(await call).toBeUndefined();
    expect(await failure(ping())).toBeUndefined();
    expect(await accepted()).toBe(before + 1);
    expect(log.text).not.toMatch(/SOCKET_TIMEOUT|reconnecting/);
  });

  it('F37 CLIENT KILL under load: every call ends, no write happens twice', async () => {
    const registry = inject(module, ConnectionRegistry);
    const observer = registry.client('default', 'producer');
    const outcomes = { ok: 0, unknown: 0, 'not-sent': 0, refused: 0 };
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < 4000) {
        const id = `op${(next += 1)}`;
        try {
          await executor().run('ledger.write', (redis) => redis.hincrby('ledger', id, 1));
          outcomes.ok += 1;
        } catch (error) {
          outcomes[(error as RedisUnavailableError).outcome] += 1;
        }
      }
    };
    const kills = (async () => {
      for (let index = 0; index < 10; index += 1) {
        await eventually('some progress', () => next > index * 300, 5000);
        await observer.call('CLIENT', 'KILL', 'TYPE', 'NORMAL', 'SKIPME', 'yes');
      }
    })();

    await Promise.all([...Array.from({ length: 30 }, worker), kills]);

    const counts = Object.values(await observer.hgetall('ledger')).map(Number);
    process.stderr.write(`CLIENT KILL x10: ${JSON.stringify(outcomes)}, applied ${counts.length}\n`);
    expect(Math.max(...counts)).toBe(1);
    expect(counts.length).toBeGreaterThanOrEqual(outcomes.ok);
    expect(counts.length).toBeLessThanOrEqual(outcomes.ok + outcomes.unknown);
  });
});
