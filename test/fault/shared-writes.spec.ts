import { afterEach, beforeEach, expect, it } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import type { Redis } from 'ioredis';
import { ConnectionRegistry, type RedisClient } from 'rednest';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { failure } from '../support/failure.js';
import { OperationLedger } from '../support/ledger.js';
import { describeNative } from '../support/needs.js';
import { startNative, type NativeServer } from '../support/servers.js';

describeNative('calls of one turn, one command each', () => suite(false));
describeNative('calls of one turn, with auto-pipelining', () => suite(true));

function suite(autoPipelining: boolean): void {
  let server: NativeServer;
  let module: TestingModule;
  beforeEach(async () => {
    server = await startNative();
    module = await createModule({ redis: { url: server.url, autoPipelining } });
  });
  afterEach(async () => {
    await module.close();
    await server.stop();
  });

  const registry = () => inject(module, ConnectionRegistry);
  const observer = (): RedisClient => registry().client('default', 'producer');
  const reads = async (): Promise<number> =>
    Number(/total_reads_processed:(\d+)/.exec(await observer().info('stats'))![1]);

  it('sends what is asked for in one turn in few packets, and answers each by itself', async () => {
    const executor = registry().executor();
    await executor.run('probe.set', (redis) => redis.set('text', 'x'));
    const before = await reads();

    const answers = await Promise.all(
      Array.from({ length: 500 }, (_, index) =>
        index === 250
          ? failure(executor.run('probe.wrong', (redis) => redis.lpush('text', 'y')))
          : executor.run('probe.echo', (redis) => redis.echo(`${index}`)),
      ),
    );

    // One of them is the question itself.
    expect((await reads()) - before).toBeLessThan(50);
    expect(answers[250]).toMatchObject({ reply: 'WRONGTYPE', outcome: 'refused' });
    expect(answers.filter((answer, index) => answer === `${index}`)).toHaveLength(499);
  });

  it('sends what several callbacks of one turn ask for in few writes', async () => {
    const executor = registry().executor();
    await executor.run('probe.set', (redis) => redis.set('text', 'x'));
    const writes = countWrites(registry().client('default'));

    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) => {
        // Timers that are due together run in one turn, each in a callback of its own, as requests of many sockets do.
        const due = new Promise<void>((resolve) => setTimeout(resolve, 5));
        return due.then(() => executor.run('probe.echo', (redis) => redis.echo(`${index}`)));
      }),
    );

    expect(answers).toEqual(answers.map((_, index) => `${index}`));
    process.stderr.write(`200 calls of 200 callbacks, ${writes.count} writes\n`);
    expect(writes.count).toBeLessThan(50);
  });

  it('F37 keeps the contract when the connection is killed under load', async () => {
    const executor = registry().executor();
    const ledger = new OperationLedger({
      keys: ['ops'],
      apply: (key, id) => executor.run('ledger.add', (redis) => redis.hincrby(key, id, 1)),
    });
    ledger.start();
    let killedMs = Infinity;
    for (let round = 1; round <= 5; round += 1) {
      const acked = ledger.acknowledged;
      await eventually('there is load', () => ledger.acknowledged > acked + 100);
      await observer().call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      killedMs = performance.now();
    }
    // Begun after the last kill, so it was answered over a connection that is new.
    await eventually('writes resume', () => ledger.ackedSince(killedMs));
    await ledger.stop();

    const report = await ledger.audit((key) => executor.run('ledger.read', (redis) => redis.hgetall(key)));
    ledger.print(`F37 with shared writes, auto-pipelining ${autoPipelining ? 'on' : 'off'}`, report);
    expect(report).toMatchObject({ duplicated: 0, misreported: 0, lost: 0 });
    expect(report.verdicts.hung).toBe(0);
  });

  it('ends calls at their deadline when the server is frozen', async () => {
    server.freeze();

    const startedMs = performance.now();
    const error = await failure(
      registry()
        .executor()
        .run('probe.ping', (redis) => redis.ping(), { deadlineMs: 200 }),
    );
    server.resume();

    expect(error).toMatchObject({ code: 'ERR_REDIS_TIMEOUT', outcome: 'unknown' });
    expect(performance.now() - startedMs).toBeLessThan(1000);
  });
}

/** Counts what leaves a client's socket: one system call each. */
function countWrites(client: RedisClient): { count: number } {
  const { stream } = client as Redis;
  const writes = { count: 0 };
  for (const name of ['_write', '_writev'] as const) {
    const write = stream[name]! as (...args: unknown[]) => void;
    Object.assign(stream, {
      [name]: (...args: unknown[]): void => {
        writes.count += 1;
        write.apply(stream, args);
      },
    });
  }
  return writes;
}
