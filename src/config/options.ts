import type { Duration } from '../common/index.js';
import type { HostInput } from './endpoint.js';
import type { ConnectionRole } from './roles.js';

/** TLS material of one server. Each item is given as PEM text, or as the path of a PEM file. */
export interface TlsOptions {
  /** Certificates of the authorities to trust, PEM. @default the authorities Node trusts */
  ca?: string | Uint8Array;
  /** Client certificate, PEM. Needs `key` or `keyFile`. */
  cert?: string | Uint8Array;
  /** Private key of the client certificate, PEM, unencrypted. */
  key?: string | Uint8Array;
  /** File with {@link ca}; read once, at start-up. Not together with `ca`. */
  caFile?: string;
  /** File with {@link cert}; read once, at start-up. Not together with `cert`. */
  certFile?: string;
  /** File with {@link key}; read once, at start-up. Not together with `key`. */
  keyFile?: string;
  /** Name the server's certificate must carry. @default the host connected to */
  servername?: string;
}

/** How to find the current primary through Redis Sentinel. */
export interface SentinelOptions {
  /** Sentinels, `host:port` or `{ host, port }`; at least one. Port 26379 unless given. */
  hosts: readonly HostInput[];
  /** Name of the monitored primary, as in the Sentinels' configuration. */
  name: string;
  /** User on the Sentinels themselves. @default none; the server's login is not used */
  username?: string;
  /** Password on the Sentinels themselves. @default none; the server's login is not used */
  password?: string;
  /** TLS towards the Sentinels. @default the same as towards the server */
  tls?: boolean | TlsOptions;
}

/** How to find a Redis Cluster. */
export interface ClusterOptions {
  /** Some of its nodes, `host:port` or `{ host, port }`; at least one. Port 6379 unless given. */
  nodes: readonly HostInput[];
  /**
   * Turns the names of nodes into addresses before connecting. Off, a node keeps its name, so that a
   * certificate made out to the name can be checked, and the name is looked up anew for each connection.
   * @default false with TLS or with a {@link ConnectionOptions.preset}, else true
   */
  resolveNames?: boolean;
}

/** Deadlines below every command, per connection. */
export interface TimeoutOptions {
  /** Until a socket, with TLS, is open. 1 ms to 10 min. @default '2s', or REDIS_CONNECT_TIMEOUT_MS */
  connect?: Duration;
  /** Until a command has its reply. 1 ms to 10 min. @default '1500ms', or REDIS_COMMAND_TIMEOUT_MS */
  command?: Duration;
  /**
   * Silence after which a socket with commands in flight counts as dead and is replaced. Must be
   * longer than {@link command}.
   * @default '2s' (or command + 500 ms when that is longer), or REDIS_SOCKET_TIMEOUT_MS
   */
  socket?: Duration;
}

/** Limits of one role, where they differ from those of the connection. */
export interface RoleOptions {
  /** Until a socket, with TLS, is open. 1 ms to 10 min. @default `timeouts.connect` */
  connect?: Duration;
  /**
   * Until a command has its reply. 1 ms to 10 min. Refused for `worker` and `reader`, whose commands
   * block on purpose.
   * @default `timeouts.command`
   */
  command?: Duration;
  /**
   * Silence after which a socket with commands in flight is replaced. 1 ms to 10 min. Longer than
   * {@link command}; for `worker` and `reader` it counts from the end of the block that a command asked
   * for. Refused for `subscriber` and `tracking`, which find dead sockets by a heartbeat.
   * @default `timeouts.socket`; `worker` and `reader` 3 s
   */
  socket?: Duration;
  /** Longest wait between two attempts to connect. 1 ms to 10 min. @default '1s' */
  reconnect?: Duration;
}

/** Limits by role. */
export type RolesOptions = { readonly [Role in ConnectionRole]?: RoleOptions };

/** Kinds of servers that need settings of their own. */
export type ServerPreset = 'aws' | 'azure' | 'kubernetes';

/** A login that a {@link CredentialProvider} answers. */
export interface ProvidedCredentials {
  /** ACL user. @default the user `default` */
  username?: string;
  /** Password, or a token in its place. */
  password: string;
  /**
   * When the login ends: a date, or milliseconds since 1970. New ones are asked for well before.
   * @default never; the provider is then asked only when a connection is made
   */
  expiresAt?: Date | number;
}

/** Asks for the login that is valid now: from a secret store, a token service or a mounted file. */
export type CredentialProvider = () => Promise<ProvidedCredentials>;

/**
 * One Redis server, or group of servers, as written in code. Exactly one of `url`, `host`, `path`,
 * `sentinels` and `cluster` says where it is.
 */
export interface ConnectionOptions {
  /** `redis://`, `rediss://` or `unix://`; see {@link parseRedisUrl} for what it may hold. */
  url?: string;
  /** Host name or address. */
  host?: string;
  /** Port of {@link host}, 1 to 65535. @default 6379 */
  port?: number;
  /** Absolute path of a unix socket. */
  path?: string;
  /** ACL user. Completes a URL without one; a different one in the URL is an error. @default `default` */
  username?: string;
  /** Password. Completes a URL without one; a different one in the URL is an error. @default none */
  password?: string;
  /**
   * Where user name and password come from when they change while the application runs. Asked at start,
   * when a connection is lost, and before they expire; not together with `username` or `password`.
   * @default none
   */
  credentials?: CredentialProvider;
  /** Database, 0 to 16383; 0 in a cluster. Completes a URL without one. @default 0 */
  db?: number;
  /** Find the primary through Sentinel. */
  sentinels?: SentinelOptions;
  /** Connect to a Redis Cluster. */
  cluster?: ClusterOptions;
  /** TLS; an object switches it on. A `rediss://` URL needs none of it. @default false */
  tls?: boolean | TlsOptions;
  /** Deadlines of the connection. */
  timeouts?: TimeoutOptions;
  /** Limits of single roles, where the role's own do not fit. */
  roles?: RolesOptions;
  /**
   * Sends commands of one turn of the event loop together: fewer round trips, but one slow or broken batch
   * delays or breaks all of its commands. For the shared client and the capabilities alone, never for BullMQ
   * and transactions.
   * @default false, or REDIS_AUTO_PIPELINING
   */
  autoPipelining?: boolean;
  /**
   * Addresses to connect to in place of those that Cluster nodes or Sentinels announce, as seen from
   * outside of a container network: `{ '10.0.0.7:6379': 'redis.example:7001' }`.
   * @default none, or REDIS_NAT_MAP
   */
  natMap?: Readonly<Record<string, HostInput>>;
  /** Where the server runs, when that needs settings of its own. @default none, or REDIS_PRESET */
  preset?: ServerPreset;
}

/** A Redis-compatible server that runs as part of this application, for development. */
export interface EmbeddedEngine {
  /**
   * Starts the server.
   *
   * @param options `port`: where to listen on the loopback interface; a free one unless given
   * @returns the URL to connect to, and the way to stop the server
   */
  start(options?: { port?: number }): Promise<{ url: string; stop(): Promise<void> }>;
}

/** What kind of place this process runs in; `production` is strict. */
export type Environment = 'development' | 'test' | 'production';

/**
 * What start-up does while a server is not ready: `wait` for it and fail at the deadline, start
 * `lazy` without connecting, or wait and then start `degraded` without it.
 */
export type BootMode = 'wait' | 'lazy' | 'degraded';

/**
 * Everything that can be set in code. All of it is optional: what is missing comes from the
 * environment (see `docs/configuration.md`). The connection fields at the top level describe the
 * default connection; when they name a server, no server, login or TLS variable of the environment
 * is used for it.
 */
export interface RednestOptions extends ConnectionOptions {
  /** Name of the application, in client names and key prefix. @default REDIS_APP_NAME, else `app` */
  app?: string;
  /** Start of every key: letters, digits and `. _ - :`. @default REDIS_KEY_PREFIX, else {@link app} */
  keyPrefix?: string;
  /**
   * Where this runs. In `production` the embedded engine is refused and a missing `app` gives a warning.
   * @default NODE_ENV; `development` without it, `production` when it has any other value
   */
  environment?: Environment;
  /** Further servers by name. `default` is reserved for the one at the top level. */
  connections?: Readonly<Record<string, ConnectionOptions>>;
  /** Engine to start when no server is configured. Refused in production. */
  embedded?: EmbeddedEngine;
  /**
   * What start-up does while the server is not ready. `wait` fails at {@link bootTimeout}; `degraded`
   * starts without it then, with one warning; `lazy` connects on first use and waits for nothing. A
   * fault that waiting cannot mend ends start-up in `wait` and `degraded`.
   * @default 'wait', or REDIS_BOOT_MODE
   */
  boot?: BootMode;
  /** How long start-up waits for the server. 1 ms to 1 h. @default '10s', or REDIS_BOOT_TIMEOUT_MS */
  bootTimeout?: Duration;
  /** How long shutdown may take. 1 ms to 1 h. @default '25s', or REDIS_SHUTDOWN_TIMEOUT_MS */
  shutdownTimeout?: Duration;
}
