import { startCluster } from './cluster.js';
import { startSentinelSet } from './sentinel.js';
import { startNative } from './servers.js';
import { startTlsServer, startUnixServer, userArguments } from './tls-server.js';

/** A way to run Redis: how it is started, and the variables that lead there. */
export interface Topology {
  readonly name: string;
  start(): Promise<RunningTopology>;
}

/** A topology that runs. */
export interface RunningTopology {
  readonly env: Record<string, string>;
  stop(): Promise<void>;
}

/**
 * Everything Rednest asks a server for, and nothing else. `docs/topologies.md` shows the same list;
 * a test holds them together.
 */
export const MINIMAL_ACL =
  '~shop:* resetchannels &shop:* &__redis__:invalidate -@all +@read +@write +@connection +@transaction +@scripting -@dangerous +info +time +publish +subscribe +unsubscribe';

/** One server without anything special. */
export const SINGLE: Topology = {
  name: 'single server',
  start: async () => {
    const server = await startNative();
    return { env: { REDIS_URL: server.url }, stop: () => server.stop() };
  },
};

/** A user that may do what Rednest needs on its own keys, and nothing else. */
export const ACL_USER: Topology = {
  name: 'ACL user',
  start: async () => {
    const user = `app on >s3cret ${MINIMAL_ACL}`;
    const server = await startNative(['--user', 'default', 'off', ...userArguments([user])]);
    const url = server.url.replace('//', '//app:s3cret@');
    return { env: { REDIS_URL: url, REDIS_APP_NAME: 'shop' }, stop: () => server.stop() };
  },
};

/** Every topology, each reachable by environment variables alone. */
export const TOPOLOGIES: readonly Topology[] = Object.freeze([
  SINGLE,
  { name: 'unix socket', start: startUnixServer },
  { name: 'TLS', start: () => startTlsServer() },
  { name: 'mutual TLS', start: () => startTlsServer({ mtls: true }) },
  ACL_USER,
  { name: 'TLS with an ACL user', start: startTlsWithUser },
  { name: 'Sentinel, 1 + 2', start: () => startSentinelSet() },
  { name: 'Cluster, 3 + 3', start: () => startCluster() },
]);

async function startTlsWithUser(): Promise<RunningTopology> {
  const server = await startTlsServer({ acl: [`app on >s3cret ${MINIMAL_ACL}`, 'default off'] });
  const env = { ...server.env, REDIS_USERNAME: 'app', REDIS_PASSWORD: 's3cret', REDIS_APP_NAME: 'shop' };
  return { env, stop: () => server.stop() };
}
