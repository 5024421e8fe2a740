import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import {
  ConnectionRegistry,
  escapeGlob,
  REDIS,
  RedisOperations,
  type PipelineError,
  type RedisClient,
} from 'rednest';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { uniquePrefix } from '../support/prefix.js';
import { nativeBinary, startEmbedded, startNative, type TestServer } from '../support/servers.js';

const SERVERS: [string, () => Promise<TestServer>][] = [['embedded', startEmbedded]];
if (nativeBinary()) SERVERS.push(['native', () => startNative()]);

const caught = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);

describe.each(SERVERS)('RedisOperations on the %s server', (_kind, start) => {
  let server: TestServer;
  let module: TestingModule;
  let operations: RedisOperations;
  let redis: RedisClient;
  beforeAll(async () => {
    server = await start();
    module = await createModule({ redis: { url: server.url } });
    operations = inject(module, RedisOperations);
    redis = inject<RedisClient>(module, REDIS);
  });
  afterAll(async () => {
    await module.close();
    await server.stop();
  });

  describe('pipeline', () => {
    it('returns the replies with their types, in the order asked for', async () => {
      const key = uniquePrefix();

      const [count, value, size] = await operations.pipeline('probe', (queue) => {
        void queue.hset(key, { name: 'x', age: '3' });
        return [
          queue.incr(`${key}:n`),
          queue.get(`${key}:n`),
          queue.hgetall(key).then((hash) => hash['name']),
        ];
      });

      expect([count, value, size]).toEqual([1, '1', 'x']);
      expect(await operations.pipeline('probe', () => [])).toEqual([]);
    });

    it('names every command that failed, without arguments, and says how many took effect', async () => {
      const key = uniquePrefix();

      const error = (await caught(
        operations.pipeline('probe', (queue) => [
          queue.set(key, 'canary-1'),
          queue.lpush(key, 'canary-2'),
          queue.call('HSET', key, 'f', 'canary-3'),
          queue.get(key),
        ]),
      )) as PipelineError;

      expect(error).toMatchObject({
        code: 'ERR_REDIS_PIPELINE',
        index: 1,
        command: 'lpush',
        outcome: 'refused',
        total: 4,
        applied: 2,
        failures: [
          { index: 1, command: 'lpush', error: { reply: 'WRONGTYPE' } },
          { index: 2, command: 'hset', error: { reply: 'WRONGTYPE' } },
        ],
      });
      expect(JSON.stringify(error) + error.stack).not.toContain('canary');
      expect(await redis.get(key)).toBe('canary-1');
    });

    it('passes errors of the builder through and sends nothing', async () => {
      const key = uniquePrefix();

      const failing = operations.pipeline('probe', (queue) => {
        void queue.set(key, '1');
        throw new RangeError('mine');
      });

      await expect(failing).rejects.toThrow(RangeError);
      expect(await redis.exists(key)).toBe(0);
      await expect(
        operations.pipeline('probe', (queue) => [(queue as unknown as { exec: () => unknown }).exec()]),
      ).rejects.toThrow('exec cannot be part of a batch');
    });
  });

  describe('multi', () => {
    it('runs all commands in one transaction', async () => {
      const key = uniquePrefix();

      expect(
        await operations.multi('probe', (queue) => [
          queue.set(key, '1'),
          queue.incr(key),
          queue.hgetall(`${key}:h`),
        ]),
      ).toEqual(['OK', 2, {}]);
    });

    it('names the command for which the server discarded everything', async () => {
      const key = uniquePrefix();

      const error = await caught(
        operations.multi('probe', (queue) => [queue.set(key, '1'), queue.call('NOSUCHCOMMAND', 'canary')]),
      );

      expect(error).toMatchObject({
        code: 'ERR_REDIS_PIPELINE',
        index: 1,
        command: 'nosuchcommand',
        applied: 0,
      });
      expect(await redis.exists(key)).toBe(0);
    });

    it('says that the others took effect when one fails while it runs', async () => {
      const key = uniquePrefix();

      const error = await caught(
        operations.multi('probe', (queue) => [queue.set(key, 'x'), queue.incr(key), queue.append(key, 'y')]),
      );

      expect(error).toMatchObject({ index: 1, command: 'incr', applied: 2, total: 3, outcome: 'refused' });
      expect(await redis.get(key)).toBe('xy');
    });
  });

  describe('optimistic', () => {
    const increment = (key: string, options = {}) =>
      operations.optimistic(
        'probe',
        [key],
        async (client) => {
          const value = Number(await client.get(key));
          return (queue) => [queue.set(key, String(value + 1))];
        },
        options,
      );

    it('loses none of 50 concurrent increments of one key', async () => {
      const key = uniquePrefix();

      await Promise.all(Array.from({ length: 50 }, () => increment(key)));

      expect(await redis.get(key)).toBe('50');
    });

    it('loses none of 50 increments made by two applications', async () => {
      const key = uniquePrefix();
      const other = await createModule({ redis: { url: server.url } });
      const theirs = inject(other, RedisOperations);
      const step = { attempts: 100, deadlineMs: 20_000 };

      await Promise.all(
        Array.from({ length: 50 }, (_, index) =>
          index % 2
            ? increment(key, step)
            : theirs.optimistic(
                'probe',
                [key],
                async (client) => {
                  const value = Number(await client.get(key));
                  return (queue) => [queue.set(key, String(value + 1))];
                },
                step,
              ),
        ),
      );

      await other.close();
      expect(await redis.get(key)).toBe('50');
    });

    it('keeps users of different keys apart', async () => {
      const keys = Array.from({ length: 10 }, () => uniquePrefix());

      await Promise.all(keys.flatMap((key) => [increment(key), increment(key), increment(key)]));

      expect(await redis.mget(keys)).toEqual(keys.map(() => '3'));
    });

    it('gives up with a typed error when others always come first, and leaves no watch behind', async () => {
      const key = uniquePrefix();
      let runs = 0;

      const error = await caught(
        operations.optimistic(
          'probe',
          [key],
          async () => {
            runs += 1;
            await redis.incr(key);
            return (queue) => [queue.set(key, 'never')];
          },
          { attempts: 3 },
        ),
      );

      expect(error).toMatchObject({ code: 'ERR_REDIS_CONFLICT', attempts: 3, outcome: 'refused' });
      expect(runs).toBe(3);
      expect(await redis.get(key)).toBe('3');
    });

    it('writes nothing when the plan says so, and passes its errors through', async () => {
      const key = uniquePrefix();

      expect(await operations.optimistic('probe', [key], async () => undefined)).toBeUndefined();
      await expect(
        operations.optimistic('probe', [key], async () => {
          throw new RangeError('mine');
        }),
      ).rejects.toThrow(RangeError);
      await expect(
        operations.optimistic('probe', [key], async (client) => {
          await client.lpush(key, 'a');
          await client.incr(key);
          return undefined;
        }),
      ).rejects.toMatchObject({ code: 'ERR_REDIS_COMMAND', reply: 'WRONGTYPE' });
    });

    it('ends at its deadline while the plan hangs, and the connection serves the next user', async () => {
      const key = uniquePrefix();
      let wake = (): void => undefined;
      const hanging = new Promise<void>((resolve) => (wake = resolve));

      const errors = await Promise.all(
        Array.from({ length: 6 }, (_, index) =>
          caught(
            operations.optimistic(
              'probe',
              [`${key}:${index}`],
              async () => {
                await hanging;
                return (queue) => [queue.set(`${key}:${index}`, 'late')];
              },
              { deadlineMs: 60 },
            ),
          ),
        ),
      );
      wake();
      await increment(key);

      for (const error of errors)
        expect(error).toMatchObject({ code: 'ERR_REDIS_TIMEOUT', outcome: 'not-sent' });
      expect(await redis.exists(...[0, 1, 2, 3, 4, 5].map((index) => `${key}:${index}`))).toBe(0);
    });

    it('ends early when the caller aborts', async () => {
      const controller = new AbortController();
      const running = operations.optimistic(
        'probe',
        [uniquePrefix()],
        () => new Promise<undefined>(() => undefined),
        {
          signal: controller.signal,
        },
      );

      controller.abort();

      await expect(running).rejects.toMatchObject({ code: 'ERR_REDIS_ABORTED', outcome: 'not-sent' });
    });

    it('writes nothing after its connection broke between reading and writing', async () => {
      const key = uniquePrefix();
      let runs = 0;

      await operations.optimistic(
        'probe',
        [key],
        async (client) => {
          runs += 1;
          if (runs > 1) return (queue) => [queue.append(key, 'b')];
          const id = await client.client('ID');
          await redis.client('KILL', 'ID', id);
          await eventually('the connection to be back', () => client.status === 'ready');
          await redis.set(key, 'a');
          return (queue) => [queue.set(key, 'lost update')];
        },
        { deadlineMs: 5000 },
      );

      expect(runs).toBe(2);
      expect(await redis.get(key)).toBe('ab');
    });

    it('opens at most four connections', () => {
      const roles = inject(module, ConnectionRegistry)
        .snapshot()
        .map(({ role }) => role);

      expect(roles.filter((role) => role === 'transaction')).toHaveLength(4);
    });
  });

  describe('scan', () => {
    it('visits every key once and matches literally what was escaped', async () => {
      const prefix = uniquePrefix();
      const names = Array.from({ length: 1200 }, (_, index) => `${prefix}:a*[b]:${index}`);
      await redis.mset(...names.flatMap((name) => [name, '1']), `${prefix}:aXb:1`, '1');

      const seen: string[] = [];
      for await (const key of operations.scan({ match: `${prefix}:${escapeGlob('a*[b]')}:*`, count: 100 }))
        seen.push(key);

      expect(seen.sort()).toEqual([...names].sort());
    });

    it('keeps to a type, and ends when the loop or the signal does', async () => {
      const prefix = uniquePrefix();
      await operations.pipeline('probe', (queue) =>
        Array.from({ length: 30 }, (_, index) => queue.hset(`${prefix}:h${index}`, 'f', '1')),
      );
      await redis.set(`${prefix}:s`, '1');

      const hashes: string[] = [];
      for await (const key of operations.scan({ match: `${prefix}:*`, type: 'hash' })) hashes.push(key);
      const first: string[] = [];
      for await (const key of operations.scan({ match: `${prefix}:*`, count: 1 })) {
        first.push(key);
        break;
      }

      expect(hashes).toHaveLength(30);
      expect(first).toHaveLength(1);
      const signal = AbortSignal.abort();
      await expect(operations.scan({ signal }).next()).rejects.toMatchObject({ code: 'ERR_REDIS_ABORTED' });
    });

    it.each([[{ match: '' }], [{ match: 'x'.repeat(257) }], [{ count: 0 }], [{ count: 1.5 }]])(
      'refuses %j',
      async (options) => {
        await expect(operations.scan(options).next()).rejects.toMatchObject({ code: 'ERR_CONFIGURATION' });
      },
    );
  });

  describe('unlinkByPattern', () => {
    it('removes what matches, in batches, up to the limit, and counts it', async () => {
      const prefix = uniquePrefix();
      const fill = (count: number) =>
        redis.mset(...Array.from({ length: count }, (_, index) => [`${prefix}:k${index}`, '1']).flat());
      await fill(250);
      await redis.set(`${prefix}x`, 'stays');

      expect(await operations.unlinkByPattern(`${prefix}:*`, { batch: 40, limit: 100 })).toBe(100);
      expect(await operations.unlinkByPattern(`${prefix}:*`, { batch: 40 })).toBe(150);
      expect(await operations.unlinkByPattern(`${prefix}:*`)).toBe(0);
      expect(await redis.get(`${prefix}x`)).toBe('stays');
    });

    it.each(['', '*', '**', '*?*', 'x'.repeat(257)])('refuses the pattern %j', async (pattern) => {
      const dbSize = await redis.dbsize();

      await expect(operations.unlinkByPattern(pattern)).rejects.toMatchObject({ code: 'ERR_CONFIGURATION' });
      expect(await redis.dbsize()).toBe(dbSize);
    });

    it.each([
      [{ batch: 0 }, 'batch'],
      [{ batch: 10_001 }, 'batch'],
      [{ limit: 1.5 }, 'limit'],
    ])('names the option that it cannot use: %p', async (options, name) => {
      await expect(operations.unlinkByPattern(`${uniquePrefix()}:*`, options)).rejects.toThrow(
        new RegExp(`^Option "${name}" is not usable .* whole number`),
      );
    });

    it('removes everything of a type when that is said aloud', async () => {
      const prefix = uniquePrefix();
      await redis.geoadd(prefix, 1, 1, 'm');

      expect(await operations.unlinkByPattern('*', { allowAll: true, type: 'zset' })).toBe(1);
    });
  });
});
