import { randomUUID } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import type { EmbeddedEngine } from '../../src/config/index.js';
import { EmbeddedRedis, type EmbeddedRedisOptions } from '../../src/embedded/index.js';
import { freePort } from '../support/ports.js';

const servers: EmbeddedRedis[] = [];
const clients: Redis[] = [];
const prefix = `t:${randomUUID()}:`;

afterEach(async () => {
  for (const client of clients.splice(0)) client.disconnect();
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

async function start(options?: EmbeddedRedisOptions): Promise<EmbeddedRedis> {
  const server = await EmbeddedRedis.start(options);
  servers.push(server);
  return server;
}

function connectTo(server: { url: string }): Redis {
  const client = new Redis(server.url, { retryStrategy: () => null, commandTimeout: 5_000 });
  client.on('error', () => undefined);
  clients.push(client);
  return client;
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => (socket.destroy(), resolve(true)));
    socket.once('error', () => resolve(false));
  });
}

describe('EmbeddedRedis.start', () => {
  it('fits the shape RedisModule accepts as its embedded engine', () => {
    const engine: EmbeddedEngine = EmbeddedRedis;

    expect(typeof engine.start).toBe('function');
  });

  it('serves a real Valkey on a free loopback port', async () => {
    const server = await start({ port: 0 });

    const info = await connectTo(server).info('server');

    expect(server.host).toBe('127.0.0.1');
    expect(server.url).toBe(`redis://127.0.0.1:${server.port}`);
    expect(server.port).toBeGreaterThan(0);
    expect(info).toContain('server_name:valkey');
    expect(info).toContain(`tcp_port:${server.port}`);
    expect(server.pid).not.toBe(process.pid);
  });

  it('reports a taken port with a typed error and leaves its owner alone', async () => {
    const owner = createServer((socket) => socket.on('error', () => undefined));
    let connections = 0;
    owner.on('connection', () => connections++);
    await new Promise<void>((resolve) => owner.listen(0, '127.0.0.1', resolve));
    const { port } = owner.address() as { port: number };

    const attempt = start({ port });

    await expect(attempt).rejects.toMatchObject({
      name: 'EmbeddedPortInUseError',
      code: 'ERR_EMBEDDED_PORT_IN_USE',
      port,
      message: expect.stringContaining(String(port)),
    });
    expect(connections).toBe(0);
    await new Promise((resolve) => owner.close(resolve));
  });

  it('does not touch another embedded server on the same port', async () => {
    const first = await start({ maxMemory: '16mb' });

    await expect(start({ port: first.port })).rejects.toMatchObject({ code: 'ERR_EMBEDDED_PORT_IN_USE' });

    expect(await connectTo(first).config('GET', 'maxmemory')).toEqual([
      'maxmemory',
      String(16 * 1024 * 1024),
    ]);
  });

  it('runs several servers side by side, each with its own data', async () => {
    const [one, two] = await Promise.all([start(), start()]);
    const key = `${prefix}who`;

    await connectTo(one).set(key, 'one');
    const seen = await connectTo(two).get(key);

    expect(one.port).not.toBe(two.port);
    expect(seen).toBeNull();
  });

  it('does not hand flags and loaders of this process to the server', async () => {
    const before = process.env.NODE_OPTIONS;
    process.env.NODE_OPTIONS = '--require=/does/not/exist.cjs';
    try {
      const server = await start();
      expect(await connectTo(server).ping()).toBe('PONG');
    } finally {
      if (before === undefined) delete process.env.NODE_OPTIONS;
      else process.env.NODE_OPTIONS = before;
    }
  });

  it('rejects options out of range before it starts anything', async () => {
    await expect(start({ maxMemory: '2gb' })).rejects.toMatchObject({ code: 'ERR_CONFIGURATION' });
  });
});

describe('EmbeddedRedis.stop', () => {
  it('ends the process, frees the port and may be called again', async () => {
    const server = await start({ port: await freePort() });
    const client = connectTo(server);
    await client.ping();

    const first = server.stop();
    const second = server.stop();
    await first;

    expect(second).toBe(first);
    expect(await server.exited).toEqual({ code: 0, signal: null, expected: true });
    expect(await isOpen(server.port)).toBe(false);
    await server.stop();
  });

  it('lets a new server take over the same port, empty', async () => {
    const first = await start({ port: await freePort() });
    await connectTo(first).set(`${prefix}left`, '1');
    await first.stop();

    const second = await start({ port: first.port });

    expect(second.port).toBe(first.port);
    expect(await connectTo(second).dbsize()).toBe(0);
  });

  it('kills a server that is caught in an endless script', async () => {
    const server = await start();
    const client = connectTo(server);
    await client.ping();
    const script = client.eval('while true do end', 0).catch((error: Error) => error);
    const closed = new Promise((resolve) => client.once('close', resolve));

    await server.stop();

    expect(await server.exited).toMatchObject({ signal: 'SIGKILL', expected: true });
    await closed;
    expect(await script).toBeInstanceOf(Error);
  });
});

describe('EmbeddedRedis limits', () => {
  it.each([
    ['SHUTDOWN', 'NOSAVE'],
    ['REPLICAOF', '127.0.0.1', '1'],
    ['SLAVEOF', '127.0.0.1', '1'],
    ['PSYNC', '?', '-1'],
    ['SAVE'],
    ['BGREWRITEAOF'],
  ])('refuses %s and keeps serving', async (...command) => {
    const server = await start();
    const client = connectTo(server);

    const [name, ...args] = command;
    await expect(client.call(name, ...args)).rejects.toThrow(/^NOPERM/);

    expect(await client.ping()).toBe('PONG');
    expect(await client.role()).toContain('master');
  });

  it('stays on its port when CONFIG SET tries to move it', async () => {
    const server = await start();
    const client = connectTo(server);
    const other = server.port === 65_535 ? 65_534 : server.port + 1;

    await expect(client.config('SET', 'port', String(other))).rejects.toThrow(/Unable to listen/);

    expect(await connectTo(server).ping()).toBe('PONG');
  });

  it('caps memory at 1 GiB without eviction unless told less', async () => {
    const client = connectTo(await start());

    expect(await client.config('GET', 'maxmemory')).toEqual(['maxmemory', String(1024 ** 3)]);
    expect(await client.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction']);
  });

  it('answers OOM beyond maxMemory, keeps the data and recovers', async () => {
    const client = connectTo(await start({ maxMemory: '8mb' }));
    const value = Buffer.alloc(1024 * 1024, 1);
    const write = (i: number) => client.set(`${prefix}m${i}`, value);

    const results = await Promise.allSettled(Array.from({ length: 12 }, (_, i) => write(i)));

    const refused = results.filter((result) => result.status === 'rejected');
    expect(refused.length).toBeGreaterThan(2);
    expect(String(refused[0]?.reason)).toMatch(/OOM command not allowed/);
    expect(await client.strlen(`${prefix}m0`)).toBe(value.length);
    await client.del(...Array.from({ length: 12 }, (_, i) => `${prefix}m${i}`));
    expect(await write(0)).toBe('OK');
  });

  it('keeps accepting writes after a scheduled snapshot has failed', async () => {
    const client = connectTo(await start());
    await client.config('SET', 'save', '1 1');
    await client.set(`${prefix}dirty`, '1');
    const failed = async () => (await client.info('persistence')).includes('rdb_last_bgsave_status:err');
    const deadline = performance.now() + 8_000;
    while (!(await failed())) {
      expect(performance.now()).toBeLessThan(deadline);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }

    expect(await client.set(`${prefix}dirty`, '2')).toBe('OK');
  });
});

describe('EmbeddedRedis speed', () => {
  it('answers sequential commands at once, not on the 100 ms tick', async () => {
    const client = connectTo(await start());
    const key = `${prefix}seq`;
    for (let i = 0; i < 50; i++) await client.set(key, i);

    const tookMs: number[] = [];
    for (let i = 0; i < 200; i++) {
      const before = performance.now();
      await client.set(key, i);
      tookMs.push(performance.now() - before);
    }

    tookMs.sort((a, b) => a - b);
    process.stderr.write(
      `embedded: 200 SETs, p50 ${tookMs[100]!.toFixed(3)} ms, p99 ${tookMs[198]!.toFixed(3)} ms\n`,
    );
    expect(tookMs[100]!).toBeLessThan(20);
  });

  it('moves large values and long pipelines without waiting for ticks', async () => {
    const client = connectTo(await start());
    const value = Buffer.alloc(4 * 1024 * 1024, 7);
    const pipeline = client.pipeline();
    for (let i = 0; i < 5_000; i++) pipeline.set(`${prefix}p${i % 100}`, 'x'.repeat(100));

    const before = performance.now();
    await client.set(`${prefix}big`, value);
    const back = await client.getBuffer(`${prefix}big`);
    await pipeline.exec();
    const tookMs = performance.now() - before;

    expect(back?.equals(value)).toBe(true);
    // 4 MiB leave in blocks of 64 KiB: at two blocks per tick the reply alone would take 3 seconds.
    expect(tookMs).toBeLessThan(2_500);
  });
});

describe('EmbeddedRedis features', () => {
  it('runs Lua with cjson, struct and bit', async () => {
    const client = connectTo(await start());
    const script = `
      local decoded = cjson.decode(ARGV[1])
      local packed = struct.pack('>I2', decoded.n)
      return { bit.band(decoded.n, 15), string.byte(packed, 2), cjson.encode({ ok = true }) }`;

    expect(await client.eval(script, 0, '{"n":255}')).toEqual([15, 255, '{"ok":true}']);
  });

  it('delivers stream entries to a consumer group', async () => {
    const client = connectTo(await start());
    const key = `${prefix}stream`;
    await client.xgroup('CREATE', key, 'g', '$', 'MKSTREAM');

    const id = await client.xadd(key, '*', 'a', '1');
    const read = await client.xreadgroup('GROUP', 'g', 'c', 'COUNT', 10, 'STREAMS', key, '>');
    const acked = await client.xack(key, 'g', id!);

    expect(read).toEqual([[key, [[id, ['a', '1']]]]]);
    expect(acked).toBe(1);
  });

  it('wakes a blocking pop and lets it time out', async () => {
    const server = await start();
    const [client, blocked] = [connectTo(server), connectTo(server)];

    const popped = blocked.blpop(`${prefix}list`, 2);
    await client.rpush(`${prefix}list`, 'v');

    expect(await popped).toEqual([`${prefix}list`, 'v']);
    expect(await blocked.blpop(`${prefix}none`, 0.05)).toBeNull();
  });

  it('carries messages from publisher to subscriber', async () => {
    const server = await start();
    const [client, subscriber] = [connectTo(server), connectTo(server)];
    const received = new Promise((resolve) => subscriber.once('message', (...args) => resolve(args)));
    await subscriber.subscribe(`${prefix}channel`);

    await client.publish(`${prefix}channel`, 'hello');

    expect(await received).toEqual([`${prefix}channel`, 'hello']);
  });

  it('runs MULTI and aborts it when a watched key changed', async () => {
    const server = await start();
    const [client, other] = [connectTo(server), connectTo(server)];
    const key = `${prefix}watched`;

    await client.watch(key);
    await other.set(key, 'changed');
    const aborted = await client.multi().set(key, 'mine').exec();
    const applied = await client.multi().incr(`${prefix}n`).incr(`${prefix}n`).exec();

    expect(aborted).toBeNull();
    expect(applied).toEqual([
      [null, 1],
      [null, 2],
    ]);
  });
});
