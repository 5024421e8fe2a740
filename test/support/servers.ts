import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EmbeddedRedis } from 'rednest/embedded';
import { eventually } from './eventually.js';

/** A server a test runs against. */
export interface TestServer {
  readonly kind: 'embedded' | 'native';
  readonly url: string;
  readonly port: number;
  stop(): Promise<void>;
}

/** A redis-server process the test owns, with the faults it can be put through. */
export interface NativeServer extends TestServer {
  readonly kind: 'native';
  readonly pid: number;
  /** SIGSTOP: accepts connections, answers nothing. */
  freeze(): void;
  resume(): void;
  /** SIGKILL, and waits for the end of the process. */
  kill(): Promise<void>;
  /** Starts again on the same port and data after {@link kill}. */
  restart(): Promise<void>;
}

/** Path of a redis-server binary, or undefined. `REDIS_SERVER_BIN` wins over the search path. */
export function nativeBinary(): string | undefined {
  const candidate = process.env['REDIS_SERVER_BIN'] ?? 'redis-server';
  return spawnSync(candidate, ['--version']).status === 0 ? candidate : undefined;
}

/** A loopback port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

/** Starts the engine in the box. */
export async function startEmbedded(): Promise<TestServer> {
  const server = await EmbeddedRedis.start();
  return { kind: 'embedded', url: server.url, port: server.port, stop: () => server.stop() };
}

/** Starts a redis-server on a free port with its own folder; extra arguments go to its command line. */
export async function startNative(args: readonly string[] = []): Promise<NativeServer> {
  const binary = nativeBinary();
  if (!binary) throw new Error('no redis-server binary: guard the suite with needsNative');
  const server = new NativeProcess(binary, await freePort(), args);
  await server.start();
  return server;
}

class NativeProcess implements NativeServer {
  readonly kind = 'native';
  readonly url: string;
  private readonly dir = mkdtempSync(join(tmpdir(), 'rednest-redis-'));
  private child: ChildProcess | undefined;
  private readonly onExit = (): void => void this.child?.kill('SIGKILL');

  constructor(
    private readonly binary: string,
    readonly port: number,
    private readonly args: readonly string[],
  ) {
    this.url = `redis://127.0.0.1:${port}`;
    process.once('exit', this.onExit);
  }

  get pid(): number {
    if (this.child?.pid === undefined) throw new Error('the server is not running');
    return this.child.pid;
  }

  async start(): Promise<void> {
    const log = join(this.dir, 'server.log');
    const base = ['--port', `${this.port}`, '--bind', '127.0.0.1', '--dir', this.dir, '--logfile', log];
    const child = spawn(this.binary, [...base, '--save', '', '--appendonly', 'no', ...this.args], {
      stdio: 'ignore',
    });
    this.child = child;
    await eventually(`redis-server on port ${this.port}`, async () => {
      if (child.exitCode !== null)
        throw new Error(`redis-server ended: ${readFileSync(log, 'utf8').slice(-2000)}`);
      return accepts(this.port);
    });
  }

  freeze(): void {
    process.kill(this.pid, 'SIGSTOP');
  }

  resume(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  async kill(): Promise<void> {
    const child = this.child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGCONT');
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  async stop(): Promise<void> {
    await this.kill();
    process.off('exit', this.onExit);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Whether something accepts connections and answers PING there. */
function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const finish = (value: boolean) => {
      socket.destroy();
      resolve(value);
    };
    socket.setTimeout(500, () => finish(false));
    socket.once('connect', () => socket.write('PING\r\n'));
    socket.once('data', (data) => finish(/^[+-]/.test(data.toString('latin1'))));
    socket.once('error', () => finish(false));
  });
}
