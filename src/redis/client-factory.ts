import { hostname } from 'node:os';
import type { ConnectionOptions } from 'node:tls';
import { Cluster, Redis, type ClusterOptions, type RedisOptions } from 'ioredis';
import { backoffDelayMs } from '../common/index.js';
import type { ResolvedConnection, ResolvedTls } from '../config/index.js';
import { withBlockingSilence, withSignsOfLife } from './blocking-silence.js';
import { quieten } from './quiet-client.js';
import { limitsOf, ROLE_SETTINGS, type ConnectionRole } from './roles.js';

/** The raw client behind {@link REDIS}: a plain ioredis instance, no wrapper. */
export type RedisClient = Redis | Cluster;

/** Client names may not contain white space; `CLIENT LIST` shows `app:role:host:pid`. */
export function clientName(app: string, role: ConnectionRole): string {
  return [app, role, hostname(), process.pid].join(':').replace(/[^\x21-\x7e]/g, '_');
}

/** Creates a client for one role, not connected yet. The caller attaches the error listener. */
export function createClient(target: ResolvedConnection, role: ConnectionRole, name: string): RedisClient {
  const common = roleOptions(target, role, name);
  const { socketTimeoutMs } = limitsOf(role, target);
  if (target.mode === 'cluster')
    return forRole(quieten(createCluster(target, common)), role, socketTimeoutMs);
  const own = new Redis({ ...common, ...addressOptions(target), db: target.db });
  const client = forRole(quieten(own), role, socketTimeoutMs);
  // After `quit` the connections that watch the Sentinels stay open and keep the process alive.
  if (target.mode === 'sentinel') client.on('end', () => client.disconnect());
  return client;
}

/**
 * Derives a client of another role from one that the user created: same server and credentials,
 * our role settings.
 */
export function duplicateForRole(client: RedisClient, role: ConnectionRole, name: string): RedisClient {
  const overrides = roleOptions(DEFAULT_TIMEOUTS, role, name);
  const duplicate =
    client instanceof Cluster
      ? client.duplicate([], {
          redisOptions: { ...client.options.redisOptions, ...overrides },
          lazyConnect: overrides.lazyConnect ?? true,
          enableAutoPipelining: false,
        })
      : client.duplicate(overrides);
  return forRole(quieten(duplicate), role, limitsOf(role, DEFAULT_TIMEOUTS).socketTimeoutMs);
}

/** What finds dead sockets where commands block. */
function forRole<T extends RedisClient>(client: T, role: ConnectionRole, socketTimeoutMs: number): T {
  if (!ROLE_SETTINGS[role].blocks) return client;
  withBlockingSilence(client, socketTimeoutMs);
  // BullMQ blocks on duplicates alone; what it sends on the client itself is answered at once.
  return role === 'worker' ? withSignsOfLife(client, socketTimeoutMs) : client;
}

const DEFAULT_TIMEOUTS = { connectTimeoutMs: 2000, commandTimeoutMs: 1500, socketTimeoutMs: 2000 };

type Usage = Pick<
  ResolvedConnection,
  'connectTimeoutMs' | 'commandTimeoutMs' | 'socketTimeoutMs' | 'roles' | 'autoPipelining'
>;
type Credentials = Partial<Pick<ResolvedConnection, 'username' | 'password' | 'tls'>>;

function roleOptions(target: Usage & Credentials, role: ConnectionRole, name: string): RedisOptions {
  const settings = ROLE_SETTINGS[role];
  const limits = limitsOf(role, target);
  return {
    // BullMQ duplicates worker clients and gives up on a lazy one whose first attempt fails.
    lazyConnect: role !== 'worker',
    // A prefix of the client itself would be put before keys that carry ours, and BullMQ refuses it.
    keyPrefix: '',
    connectionName: name,
    // A password alone is sent as that of the user "default": AUTH with one argument makes the client
    // print a warning when the server asks for none.
    ...(target.username === undefined && target.password === undefined
      ? {}
      : { username: target.username ?? 'default' }),
    ...(target.password === undefined ? {} : { password: target.password }),
    ...(target.tls === undefined ? {} : { tls: tlsOptions(target.tls) }),
    connectTimeout: limits.connectTimeoutMs,
    commandTimeout: limits.commandTimeoutMs,
    socketTimeout: limits.socketTimeoutMs,
    disconnectTimeout: 300,
    keepAlive: 10_000,
    maxRetriesPerRequest: settings.maxRetriesPerRequest,
    maxLoadingRetryTime: 100,
    enableReadyCheck: true,
    enableOfflineQueue: true,
    // A batch would tie the commands of BullMQ and of transactions to each other.
    enableAutoPipelining: role === 'command' && target.autoPipelining === true,
    retryStrategy: (attempt) => backoffDelayMs(attempt, { baseMs: 50, capMs: limits.reconnectDelayMs }),
    reconnectOnError: reconnectOnceOnReadonly(),
    ...(settings.protocol === undefined ? {} : { protocol: settings.protocol }),
  };
}

/**
 * TLS options of the client. Read by name: the material is not enumerable, so that it cannot be spread
 * into a log.
 */
export function tlsOptions({ ca, cert, key, servername }: ResolvedTls): ConnectionOptions {
  return {
    minVersion: 'TLSv1.2',
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(servername === undefined ? {} : { servername }),
  };
}

/**
 * A replica that was promoted away answers READONLY to every write in flight. Each answer would
 * ask for a reconnect of its own; one a second is enough.
 */
function reconnectOnceOnReadonly(): (error: Error) => boolean {
  let lastMs = -Infinity;
  return (error) => {
    if (!error.message.startsWith('READONLY')) return false;
    const now = performance.now();
    if (now - lastMs < 1000) return false;
    lastMs = now;
    return true;
  };
}

function addressOptions(target: Exclude<ResolvedConnection, { mode: 'cluster' }>): RedisOptions {
  switch (target.mode) {
    case 'single':
      return { host: target.host, port: target.port };
    case 'unix':
      return { path: target.path };
    case 'sentinel':
      return {
        sentinels: target.hosts.map(({ host, port }) => ({ host, port })),
        name: target.name,
        ...(target.sentinelUsername === undefined ? {} : { sentinelUsername: target.sentinelUsername }),
        ...(target.sentinelPassword === undefined ? {} : { sentinelPassword: target.sentinelPassword }),
        ...(target.sentinelTls === undefined ? {} : { sentinelTLS: tlsOptions(target.sentinelTls) }),
        // Despite its name it is about the servers behind the Sentinels.
        enableTLSForSentinelMode: target.tls !== undefined,
        failoverDetector: true,
        updateSentinels: true,
        ...(target.natMap === undefined ? {} : { natMap: target.natMap }),
        sentinelCommandTimeout: 500,
        sentinelRetryStrategy: (attempt) => backoffDelayMs(attempt, { baseMs: 50, capMs: 1000 }),
        sentinelReconnectStrategy: () => 5000,
      };
  }
}

function createCluster(
  target: Extract<ResolvedConnection, { mode: 'cluster' }>,
  redisOptions: RedisOptions,
): Cluster {
  const options: ClusterOptions = {
    redisOptions,
    lazyConnect: redisOptions.lazyConnect ?? true,
    enableReadyCheck: true,
    retryDelayOnFailover: 0,
    slotsRefreshTimeout: 1000,
    slotsRefreshInterval: 30_000,
    maxRedirections: 16,
    ...(target.natMap === undefined ? {} : { natMap: target.natMap }),
    ...(target.keepsNames ? { dnsLookup: keepName } : {}),
    // Per node as well, where it is read from; the Cluster groups commands by node.
    enableAutoPipelining: redisOptions.enableAutoPipelining ?? false,
    clusterRetryStrategy: (attempt) => backoffDelayMs(attempt, { baseMs: 100, capMs: 2000 }),
  };
  const nodes = target.nodes.map(({ host, port }) => ({ host, port }));
  return new Cluster(nodes, options);
}

/** Leaves a name to the socket, which looks it up for each connection and checks the certificate against it. */
function keepName(name: string, callback: (error: null, address: string) => void): void {
  callback(null, name);
}
