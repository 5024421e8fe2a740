import { afterEach, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { Redis } from 'ioredis';
import { backoffDelayMs, ConnectionRegistry, REDIS, type RedisCallError, type RedisClient } from 'rednest';
import { OnJob, QueueModule, QueueProcessor, QueueService } from 'rednest/queue';
import { createModule, inject } from '../support/app.js';
import { logIsWritten } from '../support/append-log.js';
import { eventually } from '../support/eventually.js';
import { failure } from '../support/failure.js';
import { describeNative } from '../support/needs.js';
import { startNative, type NativeServer } from '../support/servers.js';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function native(args: readonly string[] = []): Promise<NativeServer> {
  const server = await startNative(args);
  cleanups.push(() => server.stop());
  return server;
}

async function start(
  server: NativeServer,
  init: Partial<Parameters<typeof createModule>[0]> = {},
): Promise<TestingModule> {
  const module = await createModule({ ...init, redis: { url: server.url, ...init.redis } });
  cleanups.push(() => module.close());
  return module;
}

const executorOf = (module: TestingModule) => inject(module, ConnectionRegistry).executor();

describeNative('failure rows of a single server', () => {
  it.each(['everysec', 'always'])(
    'F13 kill -9 under load with AOF (%s) loses no acknowledged write and repeats none',
    async (fsync) => {
      const server = await native(['--appendonly', 'yes', '--appendfsync', fsync]);
      const module = await start(server);
      const acknowledged = new Set<string>();
      let next = 0;
      const run = { stop: false };
      const outcomes: Record<string, number> = {};
      const writer = async (): Promise<void> => {
        while (!run.stop) {
          const id = `op${(next += 1)}`;
          try {
            await executorOf(module).run('ledger', (redis) => redis.hincrby('ledger', id, 1));
            acknowledged.add(id);
          } catch (error) {
            const { outcome } = error as RedisCallError;
            outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
            await new Promise((resolve) => setTimeout(resolve, 5));
          }
        }
      };
      const writers = Array.from({ length: 20 }, writer);
      await eventually('some writes', () => acknowledged.size > 500);
      await logIsWritten(inject<RedisClient>(module, REDIS));
      await server.kill();
      await server.restart();
      const before = acknowledged.size;
      const restartedMs = performance.now();
      await eventually('writes resume', () => acknowledged.size > before);
      const resumedMs = performance.now() - restartedMs;
      await eventually('more writes', () => acknowledged.size > before + 200);
      run.stop = true;
      await Promise.all(writers);

      const counts = await inject<RedisClient>(module, REDIS).hgetall('ledger');

      const lost = [...acknowledged].filter((id) => counts[id] === undefined);
      const repeated = Object.values(counts).filter((count) => count !== '1');
      process.stderr.write(
        `F13 ${fsync}: ${acknowledged.size} acknowledged, ${JSON.stringify(outcomes)}, first write ${resumedMs.toFixed(0)} ms after the restart\n`,
      );
      expect({ lost: lost.length, repeated: repeated.length }).toEqual({ lost: 0, repeated: 0 });
      expect(resumedMs).toBeLessThan(5000);
    },
  );

  it('F34 a server that is loading its data holds calls up, and serves them once it is ready', async () => {
    const server = await native([
      '--appendfsync',
      'always',
      '--appendonly',
      'yes',
      '--aof-use-rdb-preamble',
      'no',
      '--key-load-delay',
      '40',
    ]);
    const module = await start(server);
    const redis = inject<RedisClient>(module, REDIS);
    for (let batch = 0; batch < 20; batch += 1) {
      const pipeline = redis.pipeline();
      for (let index = 0; index < 1000; index += 1) pipeline.set(`k${batch}:${index}`, 'x');
      await pipeline.exec();
    }
    await server.restart();

    await eventually(
      'a call passes',
      async () => (await failure(executorOf(module).run('p', (c) => c.ping()))) === undefined,
    );

    expect(await redis.dbsize()).toBe(20_000);
  });

  it('F39 a value over the size limit of the server is refused by the server; its neighbours are not harmed', async () => {
    const server = await native(['--proto-max-bulk-len', '1mb']);
    const module = await start(server);
    const executor = executorOf(module);

    const error = await failure(
      executor.run('probe.big', (redis) => redis.set('big', 'x'.repeat(2_000_000))),
    );

    expect(error).toMatchObject({ code: expect.stringMatching(/ERR_REDIS_(UNAVAILABLE|COMMAND|TIMEOUT)/) });
    await eventually(
      'calls pass',
      async () => (await failure(executor.run('p', (c) => c.ping()))) === undefined,
    );
    expect(await executor.run('probe.get', (redis) => redis.exists('big'))).toBe(0);
  });

  it('F41 close with 100 calls in flight answers all of them', async () => {
    const server = await native();
    const module = await start(server);
    const calls = Array.from({ length: 100 }, (_, index) =>
      executorOf(module).run('probe', (redis) => redis.echo(`${index}`)),
    );

    await module.close();

    expect(await Promise.all(calls)).toEqual(Array.from({ length: 100 }, (_, index) => `${index}`));
  });

  it('F42 closing twice is closing once', async () => {
    const server = await native();
    const module = await start(server);
    const registry = inject(module, ConnectionRegistry);

    const [first, second] = [registry.close(), registry.close()];

    expect(first).toBe(second);
    await Promise.all([first, second, module.close()]);
    expect(registry.snapshot().every(({ state }) => state === 'end')).toBe(true);
  });

  it('F44 close while reconnecting ends in bounded time with nothing left pending', async () => {
    const server = await native();
    const module = await start(server);
    const redis = inject<RedisClient>(module, REDIS);
    await server.kill();
    await eventually('reconnecting', () => redis.status === 'reconnecting');
    const queued = failure(redis.ping());

    const startedMs = performance.now();
    await module.close();

    expect(performance.now() - startedMs).toBeLessThan(3000);
    expect(await queued).toBeInstanceOf(Error);
  });

  it('F45 closing before anything was used opens no connection', async () => {
    const server = await native();
    const client = new Redis(server.url, { lazyConnect: true });
    client.on('error', () => undefined);
    const module = await createModule({ redis: { url: server.url } });
    const registry = inject(module, ConnectionRegistry);

    await module.close();

    expect(registry.snapshot()).toHaveLength(1);
    expect(() => registry.connection('default', 'producer')).toThrow(/closed/);
    client.disconnect();
  });

  it('F46 a job that never ends is given up at the deadline, and its signal is aborted', async () => {
    let aborted = false;
    let began = false;
    @QueueProcessor('rows__stuck')
    class Stuck {
      @OnJob() run(_data: unknown, { signal }: { signal: AbortSignal }): Promise<void> {
        began = true;
        return new Promise((resolve) => {
          signal.addEventListener('abort', () => {
            aborted = true;
            resolve();
          });
        });
      }
    }
    const server = await native();
    const module = await start(server, {
      redis: { shutdownTimeout: '1s' },
      imports: [QueueModule.forRoot(), QueueModule.forFeature(['rows__stuck'])],
      providers: [Stuck],
    });
    await inject(module, QueueService).producer('rows__stuck').add('job', 1);
    await eventually('the job runs', () => began);
    const startedMs = performance.now();

    await module.close();

    expect(performance.now() - startedMs).toBeLessThan(5000);
    expect(aborted).toBe(true);
  });

  it('F47 Redis killed under adds: no acknowledged job is lost, none runs twice at once', async () => {
    const runs = new Map<string, number>();
    @QueueProcessor('rows__load', { concurrency: 10, lockDuration: '2s', stalledInterval: '1s' })
    class Load {
      @OnJob() run(data: string): void {
        runs.set(data, (runs.get(data) ?? 0) + 1);
      }
    }
    const server = await native(['--appendonly', 'yes', '--appendfsync', 'always']);
    const module = await start(server, {
      imports: [QueueModule.forRoot(), QueueModule.forFeature(['rows__load'])],
      providers: [Load],
    });
    const producer = inject(module, QueueService).producer('rows__load');
    const acknowledged: string[] = [];
    let rejected = 0;
    const run = { stop: false };
    let next = 0;
    const adders = Array.from({ length: 5 }, async () => {
      while (!run.stop) {
        const id = `j${(next += 1)}`;
        if ((await failure(producer.add('job', id))) === undefined) acknowledged.push(id);
        else rejected += 1;
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    });
    await eventually('adds', () => acknowledged.length > 100);
    await server.kill();
    await server.restart();
    const before = acknowledged.length;
    await eventually('adds resume', () => acknowledged.length > before + 50);
    run.stop = true;
    await Promise.all(adders);

    await eventually('all jobs ran', () => acknowledged.every((id) => runs.has(id)), 14_000);
    process.stderr.write(`F47: ${acknowledged.length} jobs acknowledged, ${rejected} rejected, all ran\n`);
  });

  it('F48 fifty clients that lost their server together do not come back together', () => {
    const delays = new Set<number>();

    for (let client = 0; client < 50; client += 1) delays.add(backoffDelayMs(8, { baseMs: 50, capMs: 1000 }));

    expect(delays.size).toBeGreaterThan(30);
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(500);
    expect(Math.max(...delays)).toBeLessThanOrEqual(1000);
  });
});
