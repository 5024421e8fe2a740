import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { ConnectionRegistry } from 'rednest';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { OperationLedger } from '../support/ledger.js';
import { describeNative } from '../support/needs.js';
import { startNative, type NativeServer } from '../support/servers.js';

/** A socket that remembers what it got and how it ended. */
class Caller {
  received = '';
  ended: string | undefined;
  private readonly socket: Socket;

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('data', (data) => void (this.received += data.toString('latin1')));
    this.socket.on('error', (error: NodeJS.ErrnoException) => void (this.ended = error.code));
    this.socket.on('close', () => void (this.ended ??= 'closed'));
  }

  send(text: string): void {
    this.socket.write(`${text}\r\n`);
  }

  async hears(text: string): Promise<void> {
    await eventually(`"${text}" arrives`, () => this.received.includes(text), 3000);
  }

  async ends(): Promise<string> {
    return eventually('the connection ends', () => this.ended, 3000);
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** Long enough for a reply on the loopback that is on its way to arrive. */
const quiet = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 50));

describeNative('FaultProxy', () => {
  let server: NativeServer;
  let proxy: FaultProxy;
  const callers: Caller[] = [];
  const call = (): Caller => {
    const caller = new Caller(proxy.port);
    callers.push(caller);
    return caller;
  };
  beforeAll(async () => {
    server = await startNative();
  });
  beforeEach(async () => {
    proxy = await FaultProxy.listen(server.port);
  });
  afterEach(async () => {
    for (const caller of callers.splice(0)) caller.destroy();
    await proxy.close();
  });
  afterAll(() => server.stop());

  it('passes everything on and counts it', async () => {
    const caller = call();

    caller.send('PING');

    await caller.hears('+PONG');
    expect(proxy.counters).toMatchObject({ accepted: 1, open: 1, requestBytes: 6, replyBytes: 7, resets: 0 });
  });

  it('stalls what exists, lets new connections pass, and lets all move again when healed', async () => {
    const old = call();
    old.send('PING');
    await old.hears('+PONG');

    proxy.freezeExisting();
    old.send('ECHO frozen');
    const fresh = call();
    fresh.send('PING');
    await fresh.hears('+PONG');
    await quiet();
    expect(old.received).toBe('+PONG\r\n');
    expect(old.ended).toBeUndefined();

    proxy.heal();
    await old.hears('frozen');
  });

  it('accepts and never answers, also after it is healed', async () => {
    proxy.blackhole();
    const caller = call();
    caller.send('PING');
    await eventually('it is accepted', () => proxy.counters.accepted === 1);

    proxy.heal();
    await quiet();

    expect(caller.received).toBe('');
    expect(caller.ended).toBeUndefined();
  });

  it('accepts and resets at the first byte', async () => {
    proxy.acceptAndReset();
    const caller = call();

    caller.send('PING');

    expect(await caller.ends()).toBe('ECONNRESET');
    expect(proxy.counters.resets).toBe(1);
  });

  it('resets with RST and not with an orderly end', async () => {
    const caller = call();
    caller.send('PING');
    await caller.hears('+PONG');

    proxy.reset();

    expect(await caller.ends()).toBe('ECONNRESET');
  });

  it('forwards requests and throws the replies away', async () => {
    const caller = call();
    proxy.dropReplies();

    caller.send('SET dropped yes');
    await eventually('the reply is dropped', () => proxy.counters.droppedBytes === 5);
    proxy.heal();
    caller.send('GET dropped');

    await caller.hears('yes');
    expect(caller.received).toBe('$3\r\nyes\r\n');
  });

  it('cuts a reply at a byte, once', async () => {
    proxy.cutReplyAt(4);
    const caller = call();
    caller.send('PING');
    await caller.ends();
    const next = call();
    next.send('PING');

    await next.hears('+PONG\r\n');
    expect(caller.received).toBe('+PON');
  });

  it('delays replies, in order', async () => {
    proxy.latency(40);
    const caller = call();
    const startedMs = performance.now();

    caller.send('ECHO one');
    caller.send('ECHO two');
    await caller.hears('two');

    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(39);
    expect(caller.received.indexOf('one')).toBeLessThan(caller.received.indexOf('two'));
  });

  it('leads new connections to another server', async () => {
    const other = await startNative();
    proxy.retarget(other.port);
    const caller = call();

    caller.send('CONFIG GET port');

    await caller.hears(`${other.port}`);
    await other.stop();
  });

  it('F21 every reply lost and the connection reset, ten times: nothing runs twice, no error lies', async () => {
    const module = await createModule({ redis: { url: proxy.url } });
    const registry = inject(module, ConnectionRegistry);
    const key = `${registry.configuration.keyPrefix}:ops`;
    const ledger = new OperationLedger({
      keys: [key],
      apply: (hash, id) => registry.executor().run('ledger.add', (redis) => redis.hincrby(hash, id, 1)),
    });
    ledger.start();

    for (let round = 0; round < 10; round += 1) {
      const sinceMs = performance.now();
      await eventually('there is load', () => ledger.ackedSince(sinceMs));
      const { droppedBytes } = proxy.counters;
      proxy.dropReplies();
      await eventually('replies are lost', () => proxy.counters.droppedBytes > droppedBytes + 60);
      proxy.reset();
      proxy.heal();
    }
    await ledger.stop();
    await eventually('the executor is ready', () => registry.executor().isReady);
    const report = await ledger.audit((hash) =>
      registry.executor().run('ledger.read', (redis) => redis.hgetall(hash)),
    );

    ledger.print('F21 replies lost and reset, 10 times', report);
    expect(report).toMatchObject({ duplicated: 0, lost: 0, misreported: 0 });
    expect(report.verdicts.hung).toBe(0);
    expect(report.unknownButApplied).toBeGreaterThan(0);
    await module.close();
  });
});
