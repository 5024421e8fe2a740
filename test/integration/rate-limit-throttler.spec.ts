import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RateLimitModule, RateLimitUnavailableError, RedisThrottlerStorage } from 'rednest/rate-limit';
import { createModule } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { failure } from '../support/failure.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { startEmbedded, startNative, type TestServer } from '../support/servers.js';

const PROGRAM = join(dirname(fileURLToPath(import.meta.url)), '..', 'support', 'throttler-app.ts');

describe.each(['express', 'fastify'])('RedisThrottlerStorage under the throttler on %s', (adapter) => {
  const prefix = uniquePrefix();
  let server: TestServer;
  let observer: Redis;
  let child: ChildProcess;
  let base: string;

  beforeAll(async () => {
    server = await startEmbedded();
    observer = new Redis(server.url);
    child = fork(PROGRAM, [adapter, server.url, prefix], {
      execArgv: ['--import', '@swc-node/register/esm-register', '--disable-warning=ExperimentalWarning'],
      env: { PATH: process.env['PATH'], NODE_ENV: 'test' },
    });
    [base] = (await once(child, 'message', { signal: AbortSignal.timeout(30_000) })) as [string];
  }, 40_000);
  afterAll(async () => {
    if (child.connected) {
      child.disconnect();
      await once(child, 'exit');
    }
    observer?.disconnect();
    await server?.stop();
  });

  const get = async (path: string): Promise<Response> => {
    const response = await fetch(base + path, { headers: { connection: 'close' } });
    await response.text();
    return response;
  };

  it('counts, tells in seconds, and refuses', async () => {
    const answers = [await get('/two'), await get('/two'), await get('/two')];
    const [first, , refused] = answers;

    expect(answers.map(({ status }) => status)).toEqual([200, 200, 429]);
    expect(first!.headers.get('x-ratelimit-limit')).toBe('2');
    expect(first!.headers.get('x-ratelimit-remaining')).toBe('1');
    expect(first!.headers.get('x-ratelimit-reset')).toBe('60');
    expect(first!.headers.get('x-ratelimit-limit-short')).toBe('1000');
    const retryAfter = Number(refused!.headers.get('retry-after'));
    expect(retryAfter).toBeGreaterThan(55);
    expect(retryAfter).toBeLessThanOrEqual(60);
  });

  it('takes a blockDuration of 0: refused until the window ends, and no longer', async () => {
    const first = await get('/unblocked');
    const second = await get('/unblocked');

    expect([first.status, second.status, second.headers.get('retry-after')]).toEqual([200, 429, '1']);
    await eventually('it is let in again', async () => (await get('/unblocked')).status === 200);
  });

  it('blocks for longer than the window', async () => {
    expect((await get('/blocked')).status).toBe(200);
    await eventually('the block began', async () => (await get('/blocked')).status === 429);
    const pttl = async () => {
      const keys = (await observer.keys(`${prefix}:rl:*:t:default`)).map(async (key) => observer.pttl(key));
      return Math.max(...(await Promise.all(keys)));
    };

    expect(await pttl()).toBeGreaterThan(50_000);
    const refused = await get('/blocked');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(50);
  });

  it('keeps throttlers, routes and skipped routes apart', async () => {
    const statuses = [];
    for (const path of ['/named', '/named', '/free', '/free', '/free'])
      statuses.push((await get(path)).status);

    expect(statuses).toEqual([200, 429, 200, 200, 200]);
  });
});

describeNative('RedisThrottlerStorage and a redis-server', () => {
  const load = async (
    url: string,
    onError: 'local' | 'open' | 'closed' = 'local',
    prefix = uniquePrefix(),
  ) => {
    const module = await createModule({
      redis: { url, app: prefix },
      imports: [RateLimitModule.forRoot({ timeout: '500ms', onError, instances: 2 })],
    });
    return { storage: module.get(RedisThrottlerStorage, { strict: false }), close: () => module.close() };
  };

  it('uses one key and one EVALSHA per hit, always with a time to live, and writes nothing when it refuses', async () => {
    const server = await startNative();
    const observer = new Redis(server.url);
    const { storage, close } = await load(server.url);
    const writes = async () => {
      const stats = await observer.info('commandstats');
      const calls = (name: string) =>
        Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
      return { set: calls('set'), eval: calls('eval'), evalsha: calls('evalsha') };
    };
    try {
      await storage.increment('warm', 1000, 1, 0, 'default');
      const before = await writes();
      const records = [];
      // Fractions and numbers that are no seconds, as configurations have them.
      for (let hit = 0; hit < 10; hit += 1)
        records.push(await storage.increment('key', 1900.5, 3, 60_000, 'a'));
      const after = await writes();

      expect(records.map(({ isBlocked }) => isBlocked)).toEqual([
        false,
        false,
        false,
        ...Array<boolean>(7).fill(true),
      ]);
      expect(records[0]).toEqual({ totalHits: 1, timeToExpire: 2, isBlocked: false, timeToBlockExpire: 0 });
      expect(records[9]).toMatchObject({ totalHits: 4, isBlocked: true, timeToBlockExpire: 60 });
      // Three hits and the beginning of the block.
      expect(after.set - before.set).toBe(4);
      expect([after.eval - before.eval, after.evalsha - before.evalsha]).toEqual([0, 10]);
      const keys = (await observer.keys('*')).filter((key) => key.includes(':t:a'));
      expect(keys).toHaveLength(1);
      for (const key of await observer.keys('*:rl:*')) expect(await observer.pttl(key)).toBeGreaterThan(0);
    } finally {
      await close();
      observer.disconnect();
      await server.stop();
    }
  });

  it('admits exactly the limit to two processes at once', async () => {
    const server = await startNative();
    const prefix = uniquePrefix();
    const [one, two] = [await load(server.url, 'closed', prefix), await load(server.url, 'closed', prefix)];
    try {
      const records = await Promise.all(
        Array.from({ length: 400 }, (_, hit) =>
          (hit % 2 ? one : two).storage.increment('k', 60_000, 100, 0, 'default'),
        ),
      );

      expect(records.filter(({ isBlocked }) => !isBlocked)).toHaveLength(100);
    } finally {
      await one.close();
      await two.close();
      await server.stop();
    }
  });

  it('does as onError says while Redis is away', async () => {
    const server = await startNative();
    const [local, open, closed] = [
      await load(server.url),
      await load(server.url, 'open'),
      await load(server.url, 'closed'),
    ];
    const hit = ({ storage }: typeof local, block = 0) => storage.increment('k', 60_000, 4, block, 'default');
    await server.kill();
    try {
      const blocked = [];
      for (let count = 0; count < 4; count += 1) blocked.push((await hit(local, 30_000)).isBlocked);

      // Half of four, as there are two instances.
      expect(blocked).toEqual([false, false, true, true]);
      expect(await hit(local, 30_000)).toMatchObject({ totalHits: 3, timeToBlockExpire: 30 });
      expect(await hit(open)).toMatchObject({ isBlocked: false });
      expect(await failure(hit(closed))).toBeInstanceOf(RateLimitUnavailableError);
    } finally {
      await Promise.all([local.close(), open.close(), closed.close()]);
      await server.stop();
    }
  });
});
