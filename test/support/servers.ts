import { EmbeddedRedis } from 'rednest/embedded';
import { freePort } from './ports.js';
import { memoryFolder, requireNativeBinary, ServerProcess } from './server-process.js';

export { freePort } from './ports.js';
export { nativeBinary } from './server-process.js';

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

/** Starts the engine in the box. */
export async function startEmbedded(): Promise<TestServer> {
  const server = await EmbeddedRedis.start();
  return { kind: 'embedded', url: server.url, port: server.port, stop: () => server.stop() };
}

/** Starts a redis-server on a free port with its own folder; extra arguments go to its command line. */
export async function startNative(args: readonly string[] = []): Promise<NativeServer> {
  const server = new NativeProcess(requireNativeBinary(), await freePort(), args);
  await server.start();
  return server;
}

class NativeProcess extends ServerProcess implements NativeServer {
  readonly kind = 'native';
  readonly url: string;

  constructor(
    binary: string,
    readonly port: number,
    args: readonly string[],
  ) {
    super({
      ...(args.includes('--appendonly') ? { parent: memoryFolder() } : {}),
      binary,
      what: `redis-server on port ${port}`,
      door: port,
      args: (dir, logFile) => [
        '--port',
        `${port}`,
        '--bind',
        '127.0.0.1',
        '--dir',
        dir,
        '--logfile',
        logFile,
        '--save',
        '',
        '--appendonly',
        'no',
        ...args,
      ],
    });
    this.url = `redis://127.0.0.1:${port}`;
  }
}
