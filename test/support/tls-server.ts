import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuthority } from './certificate.js';
import { freePort } from './ports.js';
import { requireNativeBinary, ServerProcess } from './server-process.js';

/** Settings of {@link startTlsServer}. */
export interface TlsServerOptions {
  /** Refuse clients without a certificate of the server's authority. @default false */
  mtls?: boolean;
  /** Users as in an ACL file, such as `['app on >secret ~* +@all']`; the default user stays as it is. */
  acl?: readonly string[];
}

/** Files of a TLS server and of its clients, PEM. */
export interface TlsFiles {
  readonly ca: string;
  readonly clientCert: string;
  readonly clientKey: string;
}

/** A server that speaks TLS and nothing else. */
export interface TlsServer {
  readonly port: number;
  /** `rediss://127.0.0.1:port`. */
  readonly url: string;
  readonly files: TlsFiles;
  /** What an application needs to reach it, the client's certificate included where it is asked for. */
  readonly env: Record<string, string>;
  readonly process: ServerProcess;
  stop(): Promise<void>;
}

/** Starts a redis-server with TLS, with an authority and certificates of its own. */
export async function startTlsServer(options: TlsServerOptions = {}): Promise<TlsServer> {
  const { mtls = false, acl = [] } = options;
  const binary = requireNativeBinary();
  const port = await freePort();
  const dir = mkdtempSync(join(tmpdir(), 'rednest-tls-'));
  const { files, args, tls } = writeCertificates(dir);
  const server = new ServerProcess({
    binary,
    what: `redis-server with TLS on port ${port}`,
    door: { port, tls },
    args: (home, log) => [
      '--port',
      '0',
      '--tls-port',
      `${port}`,
      '--bind',
      '127.0.0.1',
      '--dir',
      home,
      '--logfile',
      log,
      '--save',
      '',
      '--tls-auth-clients',
      mtls ? 'yes' : 'no',
      ...args,
      ...userArguments(acl),
    ],
  });
  try {
    await server.start();
  } catch (error) {
    rmSync(dir, { recursive: true, force: true });
    throw error;
  }
  const url = `rediss://127.0.0.1:${port}`;
  const client = { REDIS_TLS_CERT_FILE: files.clientCert, REDIS_TLS_KEY_FILE: files.clientKey };
  return {
    port,
    url,
    files,
    process: server,
    env: { REDIS_URL: url, REDIS_TLS_CA_FILE: files.ca, ...(mtls ? client : {}) },
    stop: async () => {
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Arguments that define users; a server takes each as separate words. */
export function userArguments(users: readonly string[]): string[] {
  return users.flatMap((user) => ['--user', ...user.split(' ')]);
}

/** A server behind a unix socket and no port. */
export interface UnixServer {
  readonly path: string;
  readonly env: Record<string, string>;
  readonly process: ServerProcess;
  stop(): Promise<void>;
}

/** Starts a redis-server that listens on a unix socket alone. */
export async function startUnixServer(): Promise<UnixServer> {
  const socket = (dir: string): string => join(dir, 'redis.sock');
  const server = new ServerProcess({
    binary: requireNativeBinary(),
    what: 'redis-server on a unix socket',
    door: socket,
    args: (dir, log) => [
      '--port',
      '0',
      '--unixsocket',
      socket(dir),
      '--unixsocketperm',
      '700',
      '--dir',
      dir,
      '--logfile',
      log,
      '--save',
      '',
    ],
  });
  await server.start();
  const path = socket(server.dir);
  return { path, env: { REDIS_URL: `unix://${path}` }, process: server, stop: () => server.stop() };
}

function writeCertificates(dir: string) {
  mkdirSync(dir, { recursive: true });
  const authority = createAuthority();
  const [server, client] = [authority.issue('server'), authority.issue('client')];
  const write = (name: string, text: string): string => {
    const path = join(dir, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const files: TlsFiles = {
    ca: write('ca.pem', authority.cert),
    clientCert: write('client.pem', client.cert),
    clientKey: write('client.key', client.key),
  };
  const cert = ['--tls-cert-file', write('server.pem', server.cert)];
  const key = ['--tls-key-file', write('server.key', server.key)];
  const tls = { ca: authority.cert, cert: client.cert, key: client.key };
  return { files, tls, args: [...cert, ...key, '--tls-ca-cert-file', files.ca] };
}
