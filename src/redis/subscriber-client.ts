import { Redis } from 'ioredis';
import { ConfigurationError } from '../common/index.js';
import type { HostPort, ResolvedConnection } from '../config/index.js';
import { createClient, type RedisClient } from './client-factory.js';
import type { ConnectionRole } from './roles.js';

/** Roles whose connection only listens; in a Cluster each such connection goes to one node. */
export function isListening(role: ConnectionRole): role is 'subscriber' | 'tracking' {
  return role === 'subscriber' || role === 'tracking';
}

/**
 * A plain client for a connection that listens. In a Cluster every node passes on what is published
 * at any other, so a subscriber goes to one of the configured nodes, and to the next one after each
 * close: a Cluster client would subscribe on a hidden connection without role options and heartbeat.
 *
 * @throws {ConfigurationError} for tracking in a Cluster: each node reports only the keys it holds
 */
export function createListeningClient(
  target: ResolvedConnection,
  role: 'subscriber' | 'tracking',
  name: string,
): RedisClient {
  if (target.mode !== 'cluster') return createClient(target, role, name);
  if (role === 'tracking') {
    throw new ConfigurationError(
      'One connection cannot track a Cluster, each master reports its own keys; use registry.tracking(name, prefixes)',
    );
  }
  const { nodes } = target;
  let index = Math.floor(Math.random() * nodes.length);
  const client = createClient(nodeOf(target, nodes[index]!), role, name) as Redis;
  client.on('close', () => {
    index = (index + 1) % nodes.length;
    const { host, port } = nodes[index]!;
    Object.assign(client.options, { host, port });
  });
  return client;
}

/** One node of a Cluster as a server of its own. Keeps what a spread copy would lose: the credentials. */
export function nodeOf(target: ResolvedConnection, { host, port }: HostPort): ResolvedConnection {
  const { username, password, tls } = target;
  return { ...target, mode: 'single', host, port, db: 0, username, password, tls };
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
