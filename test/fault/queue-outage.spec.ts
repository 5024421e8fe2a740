import { afterEach, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { Queue } from 'bullmq';
import { ConnectionRegistry, type RedisModuleOptions } from 'rednest';
import {
  OnJob,
  QueueHealthService,
  QueueModule,
  QueueProcessor,
  QueueService,
  Schedule,
} from 'rednest/queue';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { failure } from '../support/failure.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { describeNative } from '../support/needs.js';
import { deferred, Mail, QUIET, Upkeep } from '../support/queues.js';
import { startNative, type NativeServer } from '../support/servers.js';

/** An add that cannot be made ends within its deadline of 1 s; the rest is room for a loaded machine. */
const FAST_MS = 1_000 + 500;

@QueueProcessor(Mail)
class Worker {
  static ran: string[] = [];
  @OnJob('send-mail') sendMail({ to }: { to: string }): { id: string } {
    Worker.ran.push(to);
    return { id: to };
  }
  @OnJob('purge') purge(): void {}
}

describeNative('queues without their server', () => {
  let server: NativeServer;
  let module: TestingModule | undefined;
  afterEach(async () => {
    await module?.close();
    module = undefined;
    await server.stop();
  });

  async function start(options: Partial<RedisModuleOptions> = {}): Promise<void> {
    Worker.ran = [];
    module = await createModule({
      redis: { url: server.url, ...options },
      imports: [QueueModule.forRoot(QUIET), QueueModule.forFeature([Mail])],
      providers: [Worker],
    });
  }

  async function timed(to: string): Promise<{ error: unknown; ms: number }> {
    const mail = inject(module!, QueueService).producer(Mail);
    const startedMs = performance.now();
    const error = await failure(mail.add('send-mail', { to }, { tenantId: 'acme' }));
    return { error, ms: performance.now() - startedMs };
  }

  const recovered = (to: string) =>
    eventually('adds succeed again', async () => (await timed(to)).error === undefined, 15_000);

  it('A8 refuses adds fast when Redis is absent at boot, and works when it comes', async () => {
    server = await startNative();
    await server.kill();
    await start({ boot: 'degraded', bootTimeout: 200 });

    const refused = await Promise.all([timed('a'), timed('b')]);
    const later = await timed('c');

    for (const { error, ms } of [...refused, later]) {
      expect(error).toMatchObject({ code: 'ERR_QUEUE_UNAVAILABLE', outcome: 'not-sent' });
      expect(ms).toBeLessThan(FAST_MS);
    }
    await server.restart();
    await recovered('back');
    await eventually('the worker works', () => Worker.ran.includes('back'), 20_000);
    // What was refused as not sent does not run late.
    expect(Worker.ran.filter((to) => ['a', 'b', 'c'].includes(to))).toEqual([]);
  }, 60_000);

  it('declares schedules and sweeps when Redis comes, however late, and stops trying when it ends before', async () => {
    @QueueProcessor(Upkeep)
    class Planned {
      static ran = 0;
      @OnJob('tick') @Schedule({ every: '1s' }) tick(): void {
        Planned.ran += 1;
      }
    }
    const late = () =>
      createModule({
        redis: { url: server.url, boot: 'degraded', bootTimeout: 200 },
        imports: [QueueModule.forRoot({ sweepInterval: '10m' }), QueueModule.forFeature([Upkeep])],
        providers: [Planned],
      });
    server = await startNative();
    await server.kill();
    module = await late();
    const ended = await late();

    // Longer than any call of the executor waits: those of the start have failed.
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    const startedMs = performance.now();
    await ended.close();
    const closedInMs = performance.now() - startedMs;
    await server.restart();

    await eventually('the schedule runs', () => Planned.ran > 0, 20_000);
    const { raw } = inject(module, QueueService).producer(Upkeep);
    const schedulers = await raw.getJobSchedulers();
    expect(schedulers.map(({ key }) => key).toSorted()).toEqual(['rednest.sweep', 'tick']);
    process.stderr.write(`a worker without Redis closed in ${Math.round(closedInMs)} ms\n`);
    expect(closedInMs).toBeLessThan(10_000);
  }, 60_000);

  it('A8 refuses adds fast when Redis dies later, and works when it is back', async () => {
    server = await startNative();
    await start();
    expect((await timed('before')).error).toBeUndefined();

    await server.kill();
    const results = [await timed('x')];
    const health = await inject(module!, QueueHealthService).check();
    for (let index = 0; index < 5; index += 1) results.push(await timed('x'));

    for (const { error, ms } of results) {
      expect(error).toMatchObject({ code: 'ERR_QUEUE_UNAVAILABLE' });
      expect(ms).toBeLessThan(FAST_MS);
    }
    expect(health.status).toBe('down');
    expect(health.queues).toMatchObject([
      { queue: 'mail__out', ready: false, status: 'down', reason: expect.stringMatching(/did not answer/) },
    ]);
    await server.restart();
    await recovered('after');
    await eventually('the worker works', () => Worker.ran.includes('after'), 20_000);
  }, 60_000);

  it('gives plain BullMQ queues a connection that fails fast and recovers', async () => {
    server = await startNative();
    await start();
    const plain = new Queue('plain', {
      connection: inject(module!, ConnectionRegistry).client('default', 'producer'),
      prefix: '{plain}',
      skipWaitingForReady: true,
      skipVersionCheck: true,
      skipMetasUpdate: true,
    });
    plain.on('error', () => undefined);
    await plain.add('a', 1);

    await server.kill();
    const startedMs = performance.now();
    const error = await failure(plain.add('b', 1));
    const ms = performance.now() - startedMs;

    expect(error).toBeInstanceOf(Object);
    expect(ms).toBeLessThan(3_000);
    await server.restart();
    await eventually('it recovers', async () => (await failure(plain.add('c', 1))) === undefined, 15_000);
    await plain.close();
  }, 60_000);

  it('fetches nothing more when it stops without a connection that comes back meanwhile', async () => {
    server = await startNative();
    const proxy = await FaultProxy.listen(server.port);
    const release = deferred();
    const started: string[] = [];
    @QueueProcessor(Mail, { concurrency: 2 })
    class Slow {
      @OnJob('send-mail') async sendMail({ to }: { to: string }): Promise<{ id: string }> {
        started.push(to);
        if (to === 'first') await release.promise;
        return { id: to };
      }
      @OnJob('purge') purge(): void {}
    }
    const imports = () => [QueueModule.forRoot(QUIET), QueueModule.forFeature([Mail])];
    const app = 'drain';
    const worker = await createModule({
      redis: { url: proxy.url, app },
      imports: imports(),
      providers: [Slow],
    });
    module = await createModule({ redis: { url: server.url, app }, imports: imports() });
    expect((await timed('first')).error).toBeUndefined();
    await eventually('the first runs', () => started.length === 1);
    const connection = inject(worker, ConnectionRegistry).connection('default', 'worker');
    proxy.acceptAndReset();
    proxy.reset();
    await eventually('the connection is lost', () => !connection.isReady);

    const closing = worker.close();
    proxy.heal();
    await eventually('the connection is back', () => connection.isReady);
    for (const to of ['a', 'b', 'c']) expect((await timed(to)).error).toBeUndefined();
    // A worker that went on would try again after 1 s.
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    const whileDraining = [...started];
    release.resolve();
    await closing;
    await proxy.close();

    expect(whileDraining).toEqual(['first']);
    expect(started).toEqual(['first']);
  }, 60_000);
});
