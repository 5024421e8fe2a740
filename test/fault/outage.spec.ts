import { afterEach, beforeEach, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { ConnectionRegistry, isRednestError, RedisTimeoutError, RedisUnavailableError } from 'rednest';
import { QueueModule, QueueUnavailableError } from 'rednest/queue';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { JobCollector, JOBS, JobSender } from '../support/jobs.js';
import { describeNative } from '../support/needs.js';
import { startNative, type NativeServer } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

/** Runs a call, tells how it ended and how long it took. */
async function attempt(call: () => Promise<unknown>): Promise<{ error: unknown; ms: number }> {
  const startedMs = performance.now();
  const error = await call().then(
    () => undefined,
    (caught: unknown) => caught,
  );
  return { error, ms: performance.now() - startedMs };
}

describeNative('without Redis', () => {
  let server: NativeServer;
  let module: TestingModule;
  let log: TestLog;
  beforeEach(async () => {
    server = await startNative();
    log = new TestLog();
    module = await createModule({
      redis: { url: server.url, logger: log },
      imports: [QueueModule.forRoot(), QueueModule.forFeature([JOBS])],
      providers: [JobCollector, JobSender],
    });
  });
  afterEach(async () => {
    await module.close();
    await server.stop();
  });

  const executor = () => inject(module, ConnectionRegistry).executor();
  const ping = () => executor().run('probe.ping', (redis) => redis.ping());

  it('R4 a call fails at once and as not sent, and works again after the restart without help', async () => {
    await server.kill();
    await eventually('the loss is seen', () => !executor().isReady);
    const early = await attempt(ping);
    await eventually('waiting is pointless', async () => (await attempt(ping)).ms < 100, 5000);
    const late = await attempt(ping);

    await server.restart();

    await eventually('the call works', async () => (await attempt(ping)).error === undefined);
    for (const { error } of [early, late]) {
      expect(isRednestError(error)).toBe(true);
      expect(error).toMatchObject({ outcome: 'not-sent', operation: 'probe.ping' });
    }
    expect(late.error).toBeInstanceOf(RedisUnavailableError);
  });

  it('R4 a command that was on its way when the server died is reported as unknown, and not sent again', async () => {
    const blocked = attempt(() => executor().run('probe.block', (redis) => redis.blpop('nothing', 1)));
    await eventually('the command is on its way', async () => {
      const observer = inject(module, ConnectionRegistry).client('default', 'producer');
      return ((await observer.client('LIST')) as string).includes('cmd=blpop');
    });

    await server.kill();

    const { error } = await blocked;
    expect(error).toMatchObject({ code: 'ERR_REDIS_UNAVAILABLE', outcome: 'unknown' });
  });

  it('R4 a frozen server costs a call its deadline and no more', async () => {
    server.freeze();

    const { error, ms } = await attempt(() =>
      executor().run('probe.ping', (redis) => redis.ping(), { deadlineMs: 100 }),
    );

    server.resume();
    expect(error).toBeInstanceOf(RedisTimeoutError);
    expect(error).toMatchObject({ outcome: 'unknown' });
    expect(ms).toBeLessThan(1000);
  });

  it('R4 finds a silently dead socket and replaces it', async () => {
    server.freeze();
    const registry = inject(module, ConnectionRegistry);
    void attempt(ping);

    await eventually('the dead socket is dropped', () => registry.snapshot()[0]!.state !== 'ready', 6000);
    server.resume();

    await eventually('a new one is ready', async () => (await attempt(ping)).error === undefined);
  });

  it('R20 an add is refused within its time and accepted again after the restart; the worker goes on', async () => {
    const { queue } = inject(module, JobSender);
    await queue.add('job', 'before');
    await eventually('first job', () => inject(module, JobCollector).done.length === 1);
    await server.kill();

    const refused = await attempt(() => queue.add('job', 'lost'));
    await server.restart();
    await eventually(
      'adds work',
      async () => (await attempt(() => queue.add('job', 'after'))).error === undefined,
    );
    await eventually(
      'the worker runs again',
      () => inject(module, JobCollector).done.includes('after'),
      12_000,
    );

    expect(refused.error).toBeInstanceOf(QueueUnavailableError);
    expect(refused.error).toMatchObject({ code: 'ERR_QUEUE_UNAVAILABLE', queue: JOBS });
    expect(refused.ms).toBeLessThan(2000);
  });

  it('F35 an add that finds no memory is refused as unavailable, with its outcome; reads go on', async () => {
    // Without a worker: after a refused command BullMQ waits 5 s in a timer that nothing ends.
    const producing = await createModule({
      redis: { url: server.url },
      imports: [QueueModule.forRoot({ role: 'producer' }), QueueModule.forFeature([JOBS])],
      providers: [JobSender],
    });
    await module.close();
    const { queue } = inject(producing, JobSender);
    const id = await queue.add('job', 'before');
    const redis = inject(producing, ConnectionRegistry).client();
    await redis.config('SET', 'maxmemory', '1mb');

    const { error } = await attempt(() => queue.add('job', 'too much'));
    const found = await queue.find(id, null);
    await producing.close();

    expect(error).toBeInstanceOf(QueueUnavailableError);
    expect(error).toMatchObject({ outcome: 'refused', queue: JOBS });
    expect(found).toMatchObject({ id });
  });

  it('R5 logs one line per state and connection, counts the repeats, and reports the recovery', async () => {
    const registry = inject(module, ConnectionRegistry);
    await eventually('all ready', () => registry.snapshot().every(({ state }) => state === 'ready'));
    const before = log.lines.length;
    await server.kill();
    await eventually('the loss is seen', () => registry.snapshot().every(({ state }) => state !== 'ready'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    await server.restart();
    await eventually('all ready', () => registry.snapshot().every(({ state }) => state === 'ready'));

    const lines = log.lines.slice(before).map(({ message }) => String(message));
    for (const role of ['command', 'producer', 'worker']) {
      const states = lines.filter((line) => line.includes(` ${role} `)).map((line) => line.split(' ')[1]);
      expect(new Set(states).size).toBe(states.length);
      expect(states.at(-1)).toBe('ready');
    }
    expect(lines.filter((line) => line.includes('down for')).length).toBe(3);
  });

  it.each(['killed', 'frozen'] as const)(
    'R8 F43 closes in bounded time while the server is %s',
    async (fault) => {
      if (fault === 'killed') await server.kill();
      else server.freeze();

      const { ms } = await attempt(() => module.close());

      if (fault === 'frozen') server.resume();
      process.stderr.write(`close with a ${fault} server: ${ms.toFixed(0)} ms\n`);
      expect(ms).toBeLessThan(10_000);
    },
  );
});
