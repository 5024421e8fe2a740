import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { inspect } from 'node:util';
import { Worker } from 'bullmq';
import { Redis } from 'ioredis';
import {
  ConnectionRegistry,
  REDIS,
  REDIS_CONFIGURATION,
  RedisCallError,
  type ProvidedCredentials,
  type RedisClient,
  type RednestConfiguration,
} from 'rednest';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startNative, type NativeServer } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

const CANARY = 'canary-7d21';

describeNative('credentials that rotate', () => {
  let server: NativeServer;
  let admin: Redis;
  beforeAll(async () => {
    server = await startNative();
    admin = new Redis(server.url);
    admin.on('error', () => undefined);
  });
  afterAll(async () => {
    await admin.quit();
    await server.stop();
  });

  const allow = (user: string, ...rules: string[]) =>
    admin.call('ACL', 'SETUSER', user, 'on', '~*', '&*', '+@all', ...rules);

  /** Users of the open connections, the admin's left out. */
  async function users(): Promise<string[]> {
    const list = (await admin.client('LIST')) as string;
    return [...list.matchAll(/ user=(\S+)/g)].map(([, user]) => user!).filter((user) => user !== 'default');
  }

  async function application(credentials: () => Promise<ProvidedCredentials>) {
    const log = new TestLog();
    const module = await createModule({
      redis: { url: server.url, credentials, logger: log, bootTimeout: '2s' },
    });
    return { module, log, registry: inject(module, ConnectionRegistry) };
  }

  it('log every role in again before they expire, while load runs, without one failed call', async () => {
    const [first, second] = [uniquePrefix(), uniquePrefix()];
    await allow(first, `>${CANARY}-1`);
    await allow(second, `>${CANARY}-2`);
    let asked = 0;
    const { module, log, registry } = await application(async () => {
      asked += 1;
      return asked === 1
        ? { username: first, password: `${CANARY}-1`, expiresAt: Date.now() + 1000 }
        : { username: second, password: `${CANARY}-2` };
    });
    const key = uniquePrefix();
    const subscriber = registry.client('default', 'subscriber');
    const resp2 = registry.client('default', 'tracking') as Redis;
    const messages: string[] = [];
    for (const client of [subscriber, resp2]) {
      client.on('message', (_channel: string, message: string) => messages.push(message));
      await client.subscribe(`${key}:channel`);
    }
    expect(resp2.mode).toBe('subscriber');
    const worker = new Worker(key, async () => undefined, {
      connection: registry.client('default', 'worker'),
      prefix: key,
      drainDelay: 1,
    });
    worker.on('error', () => undefined);
    await worker.waitUntilReady();
    const reader = registry.client('default', 'reader');
    const blocked = reader.blpop(`${key}:list`, 1);
    await registry.operations().optimistic('probe', [key], async () => undefined);

    let [calls, failed] = [0, 0];
    const running = { is: true };
    const load = Array.from({ length: 8 }, async () => {
      while (running.is) {
        calls += 1;
        await registry
          .executor()
          .run('load', (redis) => redis.incr(key))
          .catch(() => (failed += 1));
      }
    });
    await eventually('every connection to belong to the new user', async () => {
      const names = await users();
      return asked > 1 && names.length >= 7 && names.every((name) => name === second);
    });
    await admin.call('ACL', 'DELUSER', first);
    const before = calls;
    await eventually('load after the rotation', () => calls > before + 500);
    running.is = false;
    await Promise.all(load);
    await eventually('both subscribers to listen', async () => {
      return (await admin.publish(`${key}:channel`, 'after')) === 2 && messages.length >= 2;
    });

    expect(failed).toBe(0);
    expect(Number(await admin.get(key))).toBe(calls);
    expect(asked).toBe(2);
    expect(await blocked).toBeNull();
    await worker.close();
    await module.close();
    expect(log.text).not.toContain('canary');
  });

  it('use the new password after a connection was killed, and keep the old session until then', async () => {
    const user = uniquePrefix();
    let password = `${CANARY}-a`;
    await allow(user, `>${password}`);
    const { module, log, registry } = await application(async () => ({ username: user, password }));
    const run = () => registry.executor().run('probe', (redis) => redis.ping(), { deadlineMs: 1000 });

    password = `${CANARY}-b`;
    await allow(user, 'resetpass', `>${password}`);
    expect(await run()).toBe('PONG');
    await admin.client('KILL', 'USER', user);
    const errors: unknown[] = [];
    await eventually('an answer on a new connection', () =>
      run().catch((error: unknown) => void errors.push(error)),
    );

    for (const error of errors) expect(error).toBeInstanceOf(RedisCallError);
    expect((await users()).every((name) => name === user)).toBe(true);
    await module.close();
    expect(log.text + inspect(errors, { depth: 9 })).not.toContain('canary');
  });

  it('come back after a deleted user, with the next login', async () => {
    const [first, second] = [uniquePrefix(), uniquePrefix()];
    await allow(first, `>${CANARY}`);
    let username = first;
    const { module, registry } = await application(async () => ({ username, password: CANARY }));

    username = second;
    await admin.call('ACL', 'DELUSER', first);
    await eventually(
      'refused attempts',
      () =>
        registry.snapshot()[0]?.lastErrorCode === 'WRONGPASS' || registry.snapshot()[0]?.state !== 'ready',
    );
    await allow(second, `>${CANARY}`);
    await eventually('an answer', () =>
      registry
        .executor()
        .run('probe', (redis) => redis.ping(), { deadlineMs: 500 })
        .catch(() => undefined),
    );

    expect(await users()).toEqual([second]);
    await module.close();
  });

  it('go on with the old login while the function fails, and say so once', async () => {
    const user = uniquePrefix();
    await allow(user, `>${CANARY}`);
    let asked = 0;
    const { module, log, registry } = await application(async () => {
      asked += 1;
      if (asked === 2) throw Object.assign(new Error(`vault says ${CANARY}`), { code: 'EVAULT' });
      return { username: user, password: CANARY, expiresAt: Date.now() + 300 };
    });

    await eventually('the function to work again', () => asked >= 3);

    expect(await registry.executor().run('probe', (redis) => redis.ping())).toBe('PONG');
    await module.close();
    expect(log.text).toContain('credentials default: the credentials function failed (EVAULT)');
    expect(log.text).toContain('answers again');
    expect(log.text).not.toContain('canary');
  });

  it('end the start when the function fails, with nothing left open', async () => {
    const log = new TestLog();
    const start = createModule({
      redis: {
        url: server.url,
        logger: log,
        credentials: async () => {
          throw new TypeError(`cannot read ${CANARY}`);
        },
      },
    });

    const error = await start.catch((caught: unknown) => caught);

    expect(error).toMatchObject({
      code: 'ERR_REDIS_CREDENTIALS',
      reason: 'TypeError',
      connection: 'default',
    });
    expect(inspect(error, { depth: 9, showHidden: true }) + log.text).not.toContain('canary');
    expect(await users()).toEqual([]);
  });

  it('are part of further connections, and stay out of everything that prints', async () => {
    const user = uniquePrefix();
    await allow(user, `>${CANARY}`);
    const log = new TestLog();
    const module = await createModule({
      redis: {
        url: server.url,
        logger: log,
        connections: {
          other: { url: server.url, credentials: async () => ({ username: user, password: CANARY }) },
        },
      },
    });
    const registry = inject(module, ConnectionRegistry);

    const answer = await registry.executor('other').run('probe', (redis) => redis.call('ACL', 'WHOAMI'));
    const error: unknown = await registry
      .executor('other')
      .run('probe', (redis) => redis.call('AUTH', user, `${CANARY}-wrong`))
      .catch((caught: unknown) => caught);

    expect(answer).toBe(user);
    const configuration = inject<RednestConfiguration>(module, REDIS_CONFIGURATION);
    const printed = [configuration, registry.snapshot(), error].map((value) => inspect(value, { depth: 9 }));
    expect(printed.join() + JSON.stringify([configuration, error]) + log.text).not.toContain('canary');
    const { options } = inject<RedisClient>(module, REDIS);
    expect(inspect(options)).not.toContain('canary');
    await module.close();
  });

  it('cannot stand beside a fixed login', async () => {
    const login = { username: 'u', password: CANARY };
    const start = createModule({ redis: { url: server.url, credentials: async () => login, ...login } });

    await expect(start).rejects.toThrow(/"password" and Option "credentials" both say how to log in/);
    await expect(
      createModule({ redis: { url: server.url, credentials: 'secret' as never } }),
    ).rejects.toThrow(/"credentials" must be a function/);
  });
});
