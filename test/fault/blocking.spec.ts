import { afterEach, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { ConnectionRegistry } from 'rednest';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { describeNative } from '../support/needs.js';
import { startNative } from '../support/servers.js';
import { ask } from '../support/topologies-node.js';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** How much longer than its block a socket may be silent here, in milliseconds. */
const SLACK_MS = 1_000;
/** What connecting anew and a loaded machine may add. */
const MARGIN_MS = 2_000;

async function setUp() {
  const server = await startNative();
  cleanups.push(() => server.stop());
  const proxy = await FaultProxy.listen(server.port);
  cleanups.push(() => proxy.close());
  const roles = { reader: { socket: SLACK_MS }, worker: { socket: SLACK_MS } };
  const module = await createModule({ redis: { url: proxy.url, roles } });
  cleanups.push(() => module.close());
  const registry = inject(module, ConnectionRegistry);
  const blocked = async (command: string): Promise<boolean> =>
    new RegExp(` flags=b .* cmd=${command} `).test(String(await ask(server.port, 'CLIENT', 'LIST')));
  return { server, proxy, registry, blocked };
}

describeNative('connections that block', () => {
  it.each([500, 3_000])(
    'F20 finds a dead socket when a block of %i ms should be over',
    async (blockMs) => {
      const { server, proxy, registry, blocked } = await setUp();
      const reader = registry.client('default', 'reader') as Redis;
      const read = reader.xread('BLOCK', blockMs, 'STREAMS', 'stream', '$');
      await eventually('it blocks', () => blocked('xread'));
      const accepted = proxy.counters.accepted;

      const frozenMs = performance.now();
      proxy.freezeExisting();
      await eventually('it is asked again', () => proxy.counters.accepted > accepted, 20_000);
      const foundMs = performance.now() - frozenMs;
      await eventually('it blocks again', () => blocked('xread'));
      await ask(server.port, 'XADD', 'stream', '*', 'field', 'value');

      process.stderr.write(
        `F20 block of ${blockMs} ms: dead socket replaced after ${foundMs.toFixed(0)} ms\n`,
      );
      expect(await read).toMatchObject([['stream', [[expect.any(String), ['field', 'value']]]]]);
      expect(foundMs).toBeLessThan(blockMs + SLACK_MS + MARGIN_MS);
    },
    30_000,
  );

  it('leaves a socket alone that is silent for as long as its command blocks', async () => {
    const { proxy, registry } = await setUp();
    const reader = registry.client('default', 'reader') as Redis;

    const answers = await Promise.all([
      reader.blpop('none', 3),
      reader.ping(),
      reader.xread('BLOCK', 2_500, 'STREAMS', 'none', '$'),
    ]);

    expect(answers).toEqual([null, 'PONG', null]);
    // The command connection and the reader.
    expect(proxy.counters.accepted).toBe(2);
  }, 30_000);

  it('F20 finds a dead socket of a worker that has nothing to say', async () => {
    const { proxy, registry, server } = await setUp();
    const worker = registry.client('default', 'worker') as Redis;
    await worker.ping();
    const workerId = await worker.client('ID');

    const frozenMs = performance.now();
    proxy.freezeExisting();
    await eventually(
      'a new connection',
      async () =>
        new RegExp(`id=(?!${workerId} )\\d+ .*:worker:`).test(
          String(await ask(server.port, 'CLIENT', 'LIST')),
        ),
      20_000,
    );

    const foundMs = performance.now() - frozenMs;
    process.stderr.write(`F20 idle worker: dead socket replaced after ${foundMs.toFixed(0)} ms\n`);
    expect(foundMs).toBeLessThan(2_000 + SLACK_MS + MARGIN_MS);
  }, 30_000);
});
