import { afterEach, beforeEach, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { ConnectionRegistry, REDIS, type RedisClient } from 'rednest';
import { QueueModule, QueueService } from 'rednest/queue';
import { createModule, inject } from '../support/app.js';
import { failure } from '../support/failure.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { describeNative } from '../support/needs.js';
import { startNative, type NativeServer } from '../support/servers.js';

/** Timeout of single commands, what each answer takes here, and a deadline for several of them. */
const COMMAND_MS = 200;
const ANSWER_MS = 500;
const PATIENT = { deadlineMs: 15_000 };

describeNative('deadlines of calls, one command each', () => suite(false));
describeNative('deadlines of calls, with auto-pipelining', () => suite(true));

function suite(autoPipelining: boolean): void {
  let server: NativeServer;
  let proxy: FaultProxy;
  let module: TestingModule;
  beforeEach(async () => {
    server = await startNative();
    proxy = await FaultProxy.listen(server.port);
    module = await createModule({
      redis: { url: proxy.url, autoPipelining, timeouts: { command: COMMAND_MS, socket: '10s' } },
      imports: [QueueModule.forRoot({ addTimeout: '15s' }), QueueModule.forFeature(['deadlines__slow'])],
    });
  });
  afterEach(async () => {
    proxy.heal();
    await module.close();
    await proxy.close();
    await server.stop();
  });

  const executor = () => inject(module, ConnectionRegistry).executor();

  it('govern where they are longer than the command timeout, also for what is sent later', async () => {
    await executor().run('probe.set', (redis) => redis.set('key', '1'));
    proxy.latency(ANSWER_MS);
    const startedMs = performance.now();

    const answers = await Promise.all([
      executor().run('probe.get', (redis) => redis.get('key'), PATIENT),
      executor().run(
        'probe.twice',
        async (redis) => [await redis.get('key'), await redis.incr('count'), await redis.get('key')],
        PATIENT,
      ),
      executor().run(
        'probe.batch',
        async (redis) => {
          await redis.ping();
          return redis.pipeline().get('key').get('key').exec();
        },
        PATIENT,
      ),
      executor().run(
        'probe.multi',
        async (redis) => {
          await redis.ping();
          return redis.multi().get('key').get('key').exec();
        },
        PATIENT,
      ),
    ]);

    expect(answers).toEqual([
      '1',
      ['1', 1, '1'],
      [
        [null, '1'],
        [null, '1'],
      ],
      [
        [null, '1'],
        [null, '1'],
      ],
    ]);
    expect(performance.now() - startedMs).toBeGreaterThan(3 * ANSWER_MS - 10);
  });

  it('leave commands of the raw client their timeout, also while patient calls are on their way', async () => {
    const raw = inject<RedisClient>(module, REDIS);
    await executor().run('probe.set', (redis) => redis.set('key', '1'));
    proxy.latency(ANSWER_MS);

    const patient = executor().run('probe.get', (redis) => redis.get('key'), PATIENT);
    const impatient = failure(raw.get('key'));

    expect(await impatient).toMatchObject({ message: 'Command timed out' });
    expect(await patient).toBe('1');
  });

  it('govern where they are shorter', async () => {
    await executor().run('probe.set', (redis) => redis.set('key', '1'));
    proxy.latency(ANSWER_MS);
    const startedMs = performance.now();

    const error = await failure(executor().run('probe.get', (redis) => redis.get('key'), { deadlineMs: 50 }));

    expect(error).toMatchObject({ code: 'ERR_REDIS_TIMEOUT', outcome: 'unknown' });
    expect(performance.now() - startedMs).toBeLessThan(COMMAND_MS);
  });

  it('govern adds to a queue, whose commands BullMQ sends by itself', async () => {
    const producer = inject(module, QueueService).producer('deadlines__slow');
    await producer.add('job', 'first');
    proxy.latency(ANSWER_MS);

    const id = await producer.add('job', 'second');
    proxy.heal();

    expect(await producer.find(id, null)).toMatchObject({ state: 'waiting' });
  });
}
