import { Redis } from 'ioredis';
import { ConfigurationError } from '../common/index.js';
import type { ResolvedConnection } from '../config/index.js';
import { createClient, type RedisClient } from './client-factory.js';
import type { ConnectionRole } from './roles.js';

/** Roles whose connection only listens; in a Cluster they go to one node. */
export function isListening(role: ConnectionRole): role is 'subscriber' | 'tracking' {
  return role === 'subscriber' || role === 'tracking';
}

/**
 * A plain client for a connection that listens. In a Cluster every node passes on what is published
 * at any other, so a subscriber goes to one of the configured nodes, and to the next one after each
 * close: a Cluster client would subscribe on a hidden connection without role options and heartbeat.
 *
 * @throws {ConfigurationError} for tracking in a Cluster: each node reports the keys it holds itself
 */
export function createListeningClient(
  target: ResolvedConnection,
  role: 'subscriber' | 'tracking',
  name: string,
): RedisClient {
  if (target.mode !== 'cluster') return createClient(target, role, name);
  if (role === 'tracking') {
    throw new ConfigurationError(
      'Client-side tracking does not work on a Cluster; use a single server for it',
    );
  }
  const { nodes } = target;
  let index = Math.floor(Math.random() * nodes.length);
  const single = { mode: 'single' as const, host: nodes[index]!.host, port: nodes[index]!.port, db: 0 };
  const client = createClient(withPlace(target, single), role, name) as Redis;
  client.on('close', () => {
    index = (index + 1) % nodes.length;
    const { host, port } = nodes[index]!;
    Object.assign(client.options, { host, port });
  });
  return client;
}

/** Keeps what a spread copy would lose: the credentials are not enumerable. */
function withPlace(target: ResolvedConnection, place: object): ResolvedConnection {
  const { username, password, tls } = target;
  return { ...target, ...place, username, password, tls };
}

/**
 * Makes a client leave its subscriptions to us. On its own it re-subscribes without handling a
 * refusal or a timeout, sends commands of the lost socket again in between, and takes a blocked event
 * loop for a dead socket.
 *
 * @throws {ConfigurationError} for a Cluster client that the application handed in
 */
export function takeOverSubscriptions(client: RedisClient, connection: string): Redis {
  if (!(client instanceof Redis)) {
    throw new ConfigurationError(
      `Connection "${connection}" is a Cluster client of the application, on which Rednest cannot ` +
        'subscribe; configure the nodes with the option "cluster" instead',
    );
  }
  client.options.autoResubscribe = false;
  client.options.maxRetriesPerRequest = 0;
  delete client.options.socketTimeout;
  return client;
}
