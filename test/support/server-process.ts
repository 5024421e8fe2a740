import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './eventually.js';
import { answers, type Door } from './ports.js';

/** Path of a redis-server binary, or undefined. `REDIS_SERVER_BIN` wins over the search path. */
export function nativeBinary(): string | undefined {
  const candidate = process.env['REDIS_SERVER_BIN'] ?? 'redis-server';
  return spawnSync(candidate, ['--version']).status === 0 ? candidate : undefined;
}

/**
 * @returns the path of the binary
 * @throws when there is none
 */
export function requireNativeBinary(): string {
  const binary = nativeBinary();
  if (!binary) throw new Error('no redis-server binary: guard the suite with describeNative');
  return binary;
}

/** How a {@link ServerProcess} is started. */
export interface ServerProcessInit {
  readonly binary: string;
  /** Name for error messages, such as `replica on port 1234`. */
  readonly what: string;
  /** Command line; the same at every start. */
  readonly args: (dir: string, logFile: string) => readonly string[];
  /** Where it answers once it has started. */
  readonly door: Door | ((dir: string) => Door);
  /** Where its folder is made. @default the system's place for temporary files */
  readonly parent?: string;
}

/**
 * Where files are in memory, on systems that have such a place. While a disk is busy a server with `everysec` does not
 * hand its log to the system, for up to 2 s, and acknowledges all the same: that ends with the process. A test of
 * what a killed process loses must not depend on the disk of the machine.
 *
 * @see https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/
 */
export function memoryFolder(): string {
  try {
    accessSync('/dev/shm', constants.W_OK);
    return '/dev/shm';
  } catch {
    return tmpdir();
  }
}

/**
 * A server process in a folder of its own, with the faults it can be put through. Ends with the test
 * process at the latest. Only ever signals the process it started itself.
 */
export class ServerProcess {
  /** Folder of its data, configuration and log; removed by {@link stop}. */
  readonly dir: string;
  private child: ChildProcess | undefined;
  private readonly onExit = (): void => void this.child?.kill('SIGKILL');

  constructor(private readonly init: ServerProcessInit) {
    this.dir = mkdtempSync(join(init.parent ?? tmpdir(), 'rednest-redis-'));
    process.once('exit', this.onExit);
  }

  get pid(): number {
    if (this.child?.pid === undefined) throw new Error(`${this.init.what} is not running`);
    return this.child.pid;
  }

  /** Whether the process exists; a frozen one does. */
  get isRunning(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Last part of its log, for error messages. */
  logTail(): string {
    try {
      return readFileSync(join(this.dir, 'server.log'), 'utf8').slice(-2000);
    } catch {
      return '(no log)';
    }
  }

  /** Starts the process and waits until it answers; ends it again when it does not. */
  async start(): Promise<void> {
    const { binary, what, args, door } = this.init;
    const child = spawn(binary, args(this.dir, join(this.dir, 'server.log')), { stdio: 'ignore' });
    this.child = child;
    child.on('error', () => undefined);
    const place = typeof door === 'function' ? door(this.dir) : door;
    try {
      await eventually(what, () => {
        if (child.exitCode !== null) throw new Error(`${what} ended`);
        return answers(place);
      });
    } catch (error) {
      const log = this.logTail();
      await this.stop();
      throw new Error(`${what} did not start:\n${log}`, { cause: error });
    }
  }

  /** SIGSTOP: accepts connections, answers nothing. */
  freeze(): void {
    process.kill(this.pid, 'SIGSTOP');
  }

  /** SIGCONT. */
  resume(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  /** SIGKILL, and waits for the end of the process. */
  async kill(): Promise<void> {
    const { child } = this;
    if (!child || child.pid === undefined || !this.isRunning) return;
    child.kill('SIGCONT');
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  /** Starts again with the same command line and data. */
  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  /** Ends the process and removes its folder. */
  async stop(): Promise<void> {
    await this.kill();
    process.off('exit', this.onExit);
    rmSync(this.dir, { recursive: true, force: true });
  }
}
