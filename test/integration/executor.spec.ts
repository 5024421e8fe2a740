import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { getEventListeners } from 'node:events';
import type { Redis } from 'ioredis';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  ConnectionRegistry,
  DIAGNOSTICS,
  REDIS,
  RedisCommandError,
  RedisTimeoutError,
  type CallFailureDiagnostic,
  type LuaScript,
  type RedisClient,
} from 'rednest';
import type { TestingModule } from '@nestjs/testing';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { uniquePrefix } from '../support/prefix.js';
import { startEmbedded, type TestServer } from '../support/servers.js';

let server: TestServer;
let module: TestingModule;
beforeAll(async () => {
  server = await startEmbedded();
  module = await createModule({ redis: { url: server.url } });
});
afterAll(async () => {
  await module.close();
  await server.stop();
});

const executor = () => inject(module, ConnectionRegistry).executor();

function script(lua: string): LuaScript<readonly [string], readonly [string], string> {
  return { name: 'probe', lua, sha1: createHash('sha1').update(lua).digest('hex') };
}

describe('RedisExecutor', () => {
  it('returns what the call returns', async () => {
    const key = uniquePrefix();

    await executor().run('probe.set', (redis) => redis.set(key, '1', 'PX', 1000));

    expect(await executor().run('probe.get', (redis) => redis.get(key))).toBe('1');
  });

  it('ends a call at its deadline and says that its effect is unknown', async () => {
    const key = uniquePrefix();

    const error = await executor()
      .run('probe.block', (redis) => redis.blpop(key, 1), { deadlineMs: 30 })
      .catch((caught: unknown) => caught);

    expect(error).toBeInstanceOf(RedisTimeoutError);
    expect(error).toMatchObject({ outcome: 'unknown', deadlineMs: 30, operation: 'probe.block' });
  });

  it('reports a refusal with the first word of the reply and without arguments', async () => {
    const key = uniquePrefix();
    const redis = inject<RedisClient>(module, REDIS);
    await redis.set(key, 'x', 'PX', 10_000);

    const error = await executor()
      .run('probe.push', (client) => client.lpush(key, 'secret-canary'))
      .catch((caught: unknown) => caught);

    expect(error).toBeInstanceOf(RedisCommandError);
    expect(error).toMatchObject({ reply: 'WRONGTYPE', outcome: 'refused' });
    expect(JSON.stringify(error) + (error as Error).stack).not.toContain('canary');
  });

  it('turns a throw inside the call into a rejection', async () => {
    const failing = executor().run('probe.throw', () => {
      throw new TypeError('before anything was sent');
    });

    await expect(failing).rejects.toMatchObject({ code: 'ERR_REDIS_COMMAND', outcome: 'not-sent' });
  });

  it('runs a script the server has not seen, then by hash alone', async () => {
    const probe = script(`return KEYS[1] .. ARGV[1] -- ${uniquePrefix()}`);
    const redis = inject<RedisClient>(module, REDIS);

    expect(await executor().script('probe.script', probe, ['k'], ['v'])).toBe('kv');
    expect(await redis.script('EXISTS', probe.sha1)).toEqual([1]);
    await redis.script('FLUSH');
    expect(await executor().script('probe.script', probe, ['k'], ['v'])).toBe('kv');
  });

  it('leaves out the timer per command while a call sends, and puts it back', async () => {
    const { options } = inject<Redis>(module, REDIS);
    const timeoutOf = async (deadlineMs: number): Promise<number | undefined> => {
      let seen: number | undefined;
      await executor().run('probe.timer', (redis) => ((seen = options.commandTimeout), redis.ping()), {
        deadlineMs,
      });
      return seen;
    };

    expect(await timeoutOf(1500)).toBeUndefined();
    // It gets a view of the client whose commands have none.
    expect(await timeoutOf(1501)).toBe(1500);
    await executor()
      .run('probe.throw', () => Promise.reject(new Error('nothing sent')))
      .catch(() => undefined);
    await executor()
      .run('probe.throw', () => {
        throw new Error('nothing sent');
      })
      .catch(() => undefined);
    expect(options.commandTimeout).toBe(1500);
  });

  it('publishes failures on its diagnostics channel', async () => {
    const seen: CallFailureDiagnostic[] = [];
    const listener = (message: unknown) => void seen.push(message as CallFailureDiagnostic);
    subscribe(DIAGNOSTICS.command, listener);

    await executor()
      .run('probe.fail', (redis) => redis.call('NOSUCHCOMMAND', 'secret-canary'))
      .catch(() => undefined);

    unsubscribe(DIAGNOSTICS.command, listener);
    expect(seen).toEqual([
      {
        connection: 'default',
        role: 'command',
        operation: 'probe.fail',
        code: 'ERR_REDIS_COMMAND',
        outcome: 'refused',
      },
    ]);
  });

  it('settles 2,000 calls whose deadlines and answers race', async () => {
    const calls = Array.from({ length: 2000 }, (_, index) =>
      executor()
        .run('probe.race', (redis) => redis.echo(`${index}`), { deadlineMs: 1 + (index % 7) })
        .then(
          (value) => value === `${index}`,
          (error: unknown) => error instanceof RedisTimeoutError,
        ),
    );

    expect((await Promise.all(calls)).every(Boolean)).toBe(true);
  });
});

describe('F49 a jump of the local clock', () => {
  it('moves no deadline, no limit and no time to live', async () => {
    const realNow = Date.now;
    const key = uniquePrefix();
    await eventually('the connection of the tests before is back', () => executor().isReady);
    try {
      Date.now = () => realNow() + 86_400_000;
      await executor().run('probe.set', (redis) => redis.set(key, '1', 'PX', 60_000));
      const slow = executor().run('probe.block', (redis) => redis.blpop(`${key}:none`, 0.1), {
        deadlineMs: 1000,
      });
      Date.now = () => realNow() - 86_400_000;

      expect(await slow).toBeNull();
      expect(await executor().run('probe.ttl', (redis) => redis.pttl(key))).toBeGreaterThan(50_000);
    } finally {
      Date.now = realNow;
    }
  });
});

describe('a signal of the caller', () => {
  const many = Array.from({ length: 12 }, (_, index) => index);
  /** Node takes more than ten listeners for a leak, and says so. */
  const count = ({ signal }: AbortController): number => getEventListeners(signal, 'abort').length;

  it('has one listener for all transactions, and none when they have ended', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const operations = inject(module, ConnectionRegistry).operations();
    let most = 0;

    await Promise.all(
      many.map(() => {
        const plan = async (): Promise<undefined> => void (most = Math.max(most, count(controller)));
        return operations.optimistic('probe', [uniquePrefix()], plan, { signal });
      }),
    );

    expect([most, count(controller)]).toEqual([1, 0]);
  });

  it('has one listener for all subscriptions, and none when they stand', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const subscriber = inject(module, ConnectionRegistry).subscriber();

    const pending = many.map(() => subscriber.subscribe(uniquePrefix(), () => undefined, { signal }));
    const meanwhile = count(controller);
    const unsubscribes = await Promise.all(pending);

    expect([meanwhile, count(controller)]).toEqual([1, 0]);
    await Promise.all(unsubscribes.map((unsubscribe) => unsubscribe()));
  });

  it('has one listener for all waits for a wake-up, and ends them', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const wakeUps = inject(module, ConnectionRegistry).wakeUps();

    const waits = many.map(() => wakeUps.wait(uniquePrefix(), { deadlineMs: 10_000, signal }));
    const meanwhile = count(controller);
    controller.abort();

    expect(meanwhile).toBe(1);
    expect(new Set(await Promise.all(waits))).toEqual(new Set([false]));
    expect(count(controller)).toBe(0);
  });
});
