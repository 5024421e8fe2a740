import { afterEach, beforeEach, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { randomUUID } from 'node:crypto';
import { REDIS, type RedisClient } from 'rednest';
import { DeadLetters, QueueModule, QueueService, type QueueProducer } from 'rednest/queue';
import { createModule, inject } from '../support/app.js';
import { logIsWritten } from '../support/append-log.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { Next, Work, WorkerProcess } from '../support/queue-child.js';
import { QUIET } from '../support/queues.js';
import { startNative, type NativeServer } from '../support/servers.js';

describeNative('workers as processes', () => {
  let server: NativeServer;
  let module: TestingModule;
  let work: QueueProducer<typeof Work>;
  let redis: RedisClient;
  let app: string;
  const workers: WorkerProcess[] = [];

  beforeEach(async () => {
    server = await startNative();
    app = `proc${randomUUID().slice(0, 8)}`;
    module = await createModule({
      redis: { url: server.url, app },
      imports: [QueueModule.forRoot({ ...QUIET, role: 'producer' }), QueueModule.forFeature([Work, Next])],
    });
    work = inject(module, QueueService).producer(Work);
    redis = inject<RedisClient>(module, REDIS);
  });
  afterEach(async () => {
    for (const worker of workers.splice(0)) await worker.kill();
    await module.close();
    await server.stop();
  });

  async function worker(env: Record<string, string> = {}): Promise<WorkerProcess> {
    const started = new WorkerProcess({ REDIS_URL: server.url, APP: app, ...env });
    workers.push(started);
    await started.says('ready');
    return started;
  }

  const count = async (kind: 'runs' | 'done', jobId: string) => Number(await redis.get(`${kind}:${jobId}`));
  const state = async (jobId: string) => (await work.find(jobId, null))?.state;

  it('A1 runs the job of a killed worker exactly once more, and completes it once', async () => {
    const all = await Promise.all([worker(), worker(), worker()]);
    const jobId = await work.add('work', { kind: 'sleep', ms: 1500 });
    const victim = await eventually('somebody runs it', () =>
      all.find(({ output }) => output.includes(`started ${jobId}`)),
    );

    victim.signal('SIGKILL');

    await eventually('completed', async () => (await state(jobId)) === 'completed');
    expect(await count('runs', jobId)).toBe(2);
    expect(await count('done', jobId)).toBe(1);
    expect(await work.raw.getCompletedCount()).toBe(1);
  }, 40_000);

  it('A2 cuts a job off that kills its process, whatever its attempts, and shows it among the dead', async () => {
    const jobId = await work.add('work', { kind: 'die' });

    for (let crash = 0; crash < 2; crash += 1) {
      const victim = new WorkerProcess({ REDIS_URL: server.url, APP: app });
      workers.push(victim);
      expect(await victim.exit()).toMatchObject({ signal: 'SIGKILL' });
    }
    const survivor = await worker();

    await eventually('failed', async () => (await state(jobId)) === 'failed');
    expect(await count('runs', jobId)).toBe(2);
    expect(survivor.ended).toBe(false);
    const [letter] = await inject(module, DeadLetters).peek(Work);
    expect(letter).toMatchObject({ jobId, failedReason: 'job stalled more than allowable limit' });
  }, 40_000);

  it('tells of a dead job again when the process that told it was killed, and once when it was not', async () => {
    const victim = await worker({ DIES_WHEN_TOLD: 'yes' });
    const jobId = await work.add('work', { kind: 'fail' }, { attempts: 1 });
    expect(await victim.exit()).toMatchObject({ signal: 'SIGKILL' });
    expect(await state(jobId)).toBe('failed');

    // Somebody else may be telling it until the claim of the killed one is over, which takes a minute.
    const early = await worker();
    const other = await work.add('work', { kind: 'fail' }, { attempts: 1 });
    await early.says(`told ${other}`);
    const whileClaimed = early.output.includes(`told ${jobId}`);
    await redis.hset(work.raw.toKey(jobId), 'rednest:told', Date.now() - 1);
    await early.kill();
    const late = await worker();
    await late.says(`told ${jobId}`);
    await eventually('it is noted', async () => {
      return (await redis.hget(work.raw.toKey(jobId), 'rednest:told')) === 'told';
    });
    await late.kill();
    const last = await worker();
    const probe = await work.add('work', { kind: 'fail' }, { attempts: 1 });
    await last.says(`told ${probe}`);

    expect(whileClaimed).toBe(false);
    expect(await redis.mget([jobId, other, probe].map((id) => `told:${id}`))).toEqual(['2', '1', '1']);
  }, 60_000);

  it('A4 A5 on SIGTERM lets running jobs end, which still add others, fetches no more, and exits with 0', async () => {
    const process = await worker();
    const running = await Promise.all(
      Array.from({ length: 5 }, () => work.add('work', { kind: 'chain', ms: 700 })),
    );
    for (const jobId of running) await process.says(`started ${jobId}`);
    const waiting = await Promise.all(
      Array.from({ length: 5 }, () => work.add('work', { kind: 'chain', ms: 0 })),
    );

    process.signal('SIGTERM');

    expect(await process.exit()).toEqual({ code: 0, signal: null });
    for (const jobId of running) expect(await state(jobId)).toBe('completed');
    for (const jobId of waiting) expect(await state(jobId)).toBe('waiting');
    expect(await work.raw.getActiveCount()).toBe(0);
    expect(await inject(module, QueueService).producer(Next).raw.getWaitingCount()).toBe(5);
  }, 40_000);

  it('aborts a job that does not end when the time is over, and leaves it to the next worker', async () => {
    const process = await worker({ SHUTDOWN_MS: '2000' });
    const jobId = await work.add('work', { kind: 'stubborn' });
    await process.says(`started ${jobId}`);

    process.signal('SIGTERM');

    expect(await process.exit()).toMatchObject({ code: 0 });
    expect(process.output).toContain('aborted');
    const next = await worker();
    await next.says(`started ${jobId}`);
  }, 40_000);
});

describeNative('queues and a server that is killed', () => {
  it.each(['everysec', 'always'])(
    'A3 with an append-only file (%s) no acknowledged job is lost',
    async (appendfsync) => {
      const server = await startNative(['--appendonly', 'yes', '--appendfsync', appendfsync]);
      const module = await createModule({
        redis: { url: server.url },
        imports: [QueueModule.forRoot({ ...QUIET, role: 'producer' }), QueueModule.forFeature([Work])],
      });
      const work = inject(module, QueueService).producer(Work);
      const acked: string[] = [];
      const load = { stopped: false };
      const lane = async (): Promise<void> => {
        while (!load.stopped) {
          const id = await work.add('work', { kind: 'none' }).catch(() => undefined);
          if (id !== undefined) acked.push(id);
          else await new Promise((resolve) => setTimeout(resolve, 10));
        }
      };
      const lanes = Array.from({ length: 20 }, lane);
      await eventually('there is load', () => acked.length > 2000);

      await logIsWritten(inject<RedisClient>(module, REDIS));
      await server.kill();
      const before = acked.length;
      await server.restart();
      await eventually('adds go on', () => acked.length > before + 100, 20_000);
      load.stopped = true;
      await Promise.all(lanes);

      const waiting = new Set((await work.raw.getWaiting(0, -1)).map(({ id }) => id));
      const lost = acked.filter((id) => !waiting.has(id));
      process.stderr.write(`Q03 AOF ${appendfsync}: ${acked.length} acknowledged, ${lost.length} lost\n`);
      await module.close();
      await server.stop();
      expect(lost).toEqual([]);
    },
    60_000,
  );
});
