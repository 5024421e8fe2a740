import { afterEach, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import { ConnectionRegistry, type RedisCallError } from 'rednest';
import { OnJob, QueueModule, QueueProcessor, QueueService } from 'rednest/queue';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { OperationLedger } from '../support/ledger.js';
import { describeNative } from '../support/needs.js';
import { startNative, type NativeServer } from '../support/servers.js';
import { ask } from '../support/topologies-node.js';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Setup {
  server: NativeServer;
  proxy: FaultProxy;
  module: TestingModule;
  ledger: OperationLedger;
}

async function setUp(init: Partial<Parameters<typeof createModule>[0]> = {}): Promise<Setup> {
  const server = await startNative();
  cleanups.push(() => server.stop());
  const proxy = await FaultProxy.listen(server.port);
  cleanups.push(() => proxy.close());
  const module = await createModule({ ...init, redis: { url: proxy.url } });
  cleanups.push(() => module.close());
  const executor = inject(module, ConnectionRegistry).executor();
  const ledger = new OperationLedger({
    keys: ['ledger'],
    apply: (key, id) => executor.run('ledger.write', (redis) => redis.hincrby(key, id, 1)),
  });
  return { server, proxy, module, ledger };
}

/** Runs load through a fault until writes are acknowledged again after it was mended. */
async function throughFault(
  label: string,
  { server, ledger }: Setup,
  fault: () => unknown,
  heal: () => unknown,
  faultEnds: () => Promise<unknown>,
): Promise<number> {
  ledger.start();
  await eventually('load', () => ledger.acknowledged > 100);
  await fault();
  await faultEnds();
  await heal();
  const healedMs = performance.now();
  await eventually('writes resume', () => ledger.ackedSince(healedMs), 10_000);
  const resumedMs = performance.now() - healedMs;
  await ledger.stop();
  const observer = await createModule({ redis: { url: server.url } });
  const report = await ledger.audit((key) => inject(observer, ConnectionRegistry).client().hgetall(key));
  await observer.close();
  ledger.print(`${label}: writes resume ${resumedMs.toFixed(0)} ms after the fault`, report);
  expect(report).toMatchObject({ lost: 0, duplicated: 0, misreported: 0, verdicts: { hung: 0 } });
  return resumedMs;
}

const passing = (ms: number) => () => eventually('the fault lasts', later(ms), ms + 5000);

function later(ms: number): () => boolean {
  const endMs = performance.now() + ms;
  return () => performance.now() >= endMs;
}

const failure = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error: unknown) => error as RedisCallError,
  );

describeNative('failure rows of the network', () => {
  it('F16 a server that freezes and thaws: nothing twice, nothing hangs', async () => {
    const setup = await setUp();
    const { server } = setup;

    const resumedMs = await throughFault(
      'F16',
      setup,
      () => server.freeze(),
      () => server.resume(),
      passing(3000),
    );

    expect(resumedMs).toBeLessThan(5000);
  });

  it('F17 a handshake that is never answered ends, and the connection heals by itself', async () => {
    const setup = await setUp();
    const { proxy } = setup;

    const resumedMs = await throughFault(
      'F17',
      setup,
      () => {
        proxy.blackhole();
        proxy.reset();
      },
      () => proxy.heal(),
      passing(2500),
    );

    expect(resumedMs).toBeLessThan(5000);
  });

  it('F18 a half-open connection is found and replaced', async () => {
    const setup = await setUp();
    const { proxy } = setup;
    const frozenMs = performance.now();

    await throughFault(
      'F18',
      setup,
      () => proxy.freezeExisting(),
      () => undefined,
      () => eventually('a new connection', () => proxy.counters.accepted >= 2, 6000),
    );

    expect(performance.now() - frozenMs).toBeLessThan(8000);
  });

  it('F20 a worker whose connections die half-open while it waits for jobs goes on with new ones', async () => {
    const done: unknown[] = [];
    @QueueProcessor('rows__blocked')
    class Worker {
      @OnJob() run(data: unknown): void {
        done.push(data);
      }
    }
    const { proxy, module, server } = await setUp({
      imports: [QueueModule.forRoot(), QueueModule.forFeature(['rows__blocked'])],
      providers: [Worker],
    });
    const producer = inject(module, QueueService).producer('rows__blocked');
    await producer.add('job', 'before');
    await eventually('the first job', () => done.includes('before'));
    await eventually('the worker waits', async () =>
      / flags=b .* cmd=bzpopmin /.test(String(await ask(server.port, 'CLIENT', 'LIST'))),
    );
    const frozenMs = performance.now();

    proxy.freezeExisting();
    await eventually(
      'an add passes again',
      async () => (await failure(producer.add('job', 'after'))) === undefined,
      10_000,
    );
    await eventually('the worker is back', () => done.includes('after'), 30_000);

    const backMs = performance.now() - frozenMs;
    process.stderr.write(`F20: worker back ${backMs.toFixed(0)} ms after its sockets died\n`);
    // It waits for 5 s at a time; its socket may be silent for 3 s longer.
    expect(backMs).toBeLessThan(9_000);
  }, 60_000);

  it('F22 a server that resets every handshake: calls end, and work again afterwards', async () => {
    const setup = await setUp();
    const { proxy } = setup;

    const resumedMs = await throughFault(
      'F22',
      setup,
      () => {
        proxy.acceptAndReset();
        proxy.reset();
      },
      () => proxy.heal(),
      passing(1500),
    );

    expect(resumedMs).toBeLessThan(4000);
  });

  it('F23 slow replies cost calls their deadline; late replies are ignored and the connection is kept', async () => {
    const { proxy, module } = await setUp();
    const executor = inject(module, ConnectionRegistry).executor();
    proxy.latency(200);

    const slow = await failure(executor.run('p', (redis) => redis.echo('late'), { deadlineMs: 50 }));
    const patient = await executor.run('p', (redis) => redis.echo('patient'), { deadlineMs: 1400 });
    proxy.heal();
    const after = await executor.run('p', (redis) => redis.echo('after'));

    expect(slow).toMatchObject({ code: 'ERR_REDIS_TIMEOUT', outcome: 'unknown' });
    expect([patient, after]).toEqual(['patient', 'after']);
    expect(proxy.counters.accepted).toBe(1);
  });

  it('F24 an address that now leads to a replica: one reconnect a second until it leads to a primary', async () => {
    const setup = await setUp();
    const { proxy, server, module } = setup;
    const replica = await startNative(['--replicaof', '127.0.0.1', `${server.port}`]);
    cleanups.push(() => replica.stop());
    const executor = inject(module, ConnectionRegistry).executor();
    const write = () => failure(executor.run('p', (redis) => redis.set('k', 'v')));
    proxy.retarget(replica.port);
    proxy.reset();

    const refused = await eventually('READONLY', async () => {
      const error = await write();
      return error?.message.includes('READONLY') && error;
    });
    const acceptedBefore = proxy.counters.accepted;
    proxy.retarget(server.port);
    const healedMs = performance.now();
    await eventually('writes pass', async () => (await write()) === undefined, 6000);

    process.stderr.write(`F24: first write ${(performance.now() - healedMs).toFixed(0)} ms after the flip\n`);
    expect(refused).toMatchObject({ code: 'ERR_REDIS_COMMAND', outcome: 'refused' });
    expect(proxy.counters.accepted - acceptedBefore).toBeLessThan(20);
  });

  it('closes in bounded time, with nothing pending, behind a network that swallows everything', async () => {
    const { proxy, module } = await setUp();
    const executor = inject(module, ConnectionRegistry).executor();
    proxy.dropReplies();
    const calls = Array.from({ length: 50 }, () => failure(executor.run('p', (redis) => redis.ping())));
    const startedMs = performance.now();

    await module.close();

    expect((await Promise.all(calls)).every((error) => error !== undefined)).toBe(true);
    expect(performance.now() - startedMs).toBeLessThan(5000);
  });
});
