import type { Socket } from 'node:net';
import type { RedisClient } from './client-factory.js';
import { tellNeverWritten } from './never-written.js';
import { checkReadiness, type HandshakeClient } from './ready-check.js';
import { tellStallsFromSilence, type SilentClient } from './socket-silence.js';

/** What the client keeps to itself and prints on the console, as far as it is replaced here. */
interface PrivateParts extends HandshakeClient, SilentClient {
  readonly options: HandshakeClient['options'] &
    SilentClient['options'] & { maxRetriesPerRequest?: number | null; disconnectTimeout?: number };
  readonly stream?: Socket;
  readonly isCluster: boolean;
  on(event: '+node', listener: (node: PrivateParts) => void): unknown;
  duplicate(...args: unknown[]): PrivateParts;
  disconnect?(reconnect?: boolean): void;
  setStatus?(status: 'end'): void;
  flushQueue?(error: Error, which?: object): void;
  _readyCheck?: (callback: (error: Error | null, info?: object) => void) => void;
  /** Whether it was told to disconnect for good. */
  readonly manuallyClosing?: boolean;
  connector?: {
    connect?: (...args: unknown[]) => Promise<unknown>;
    /** Of a Sentinel client: makes the connections to the Sentinels. */
    connectToSentinel?: (endpoint: object, options?: object) => SentinelClient;
  };
  /** Of a Cluster: keeps one further connection for pub/sub. */
  subscriber?: object;
}

interface SentinelClient {
  on(event: 'error', listener: () => void): void;
}

/**
 * Makes a client, its duplicates and the clients it creates by itself keep off the console, gives them a
 * readiness check that refuses a connection whose database could not be selected, lets them end while
 * they wait to reconnect and not while they connect, and tells a blocked event loop from a dead socket. The
 * client offers no option for any of it; nothing else about it changes.
 */
export function quieten<T extends RedisClient>(client: T): T {
  quietenParts(client as unknown as PrivateParts);
  return client;
}

function quietenParts(client: PrivateParts): PrivateParts {
  const duplicate = client.duplicate.bind(client);
  client.duplicate = (...args) => quietenParts(duplicate(...args));
  tellNeverWritten(client);
  if (client.isCluster) quietenNodes(client);
  else {
    client._readyCheck = (callback) => void checkReadiness(client, callback);
    endWhileReconnecting(client);
    connectAgain(client);
    tellStallsFromSilence(client);
  }
  quietenSentinels(client);
  return client;
}

/**
 * A client told to disconnect while it waits to reconnect has no socket whose end it could report. It
 * stays `reconnecting` for good, and BullMQ, which waits for `end` on a duplicate, never closes.
 */
function endWhileReconnecting(client: PrivateParts): void {
  const disconnect = client.disconnect?.bind(client);
  if (!disconnect) return;
  client.disconnect = (reconnect = false) => {
    const hasNoSocket = client.status === 'reconnecting' && !reconnect;
    disconnect(reconnect);
    if (!hasNoSocket) return;
    client.setStatus?.('end');
    client.flushQueue?.(new Error('Connection is closed.'));
  };
}

/**
 * The news of a failover breaks off whatever the client does, an attempt to connect included, which may be
 * about the old primary. It would take that for the end, and never connect again.
 */
function connectAgain(client: PrivateParts): void {
  const { connector } = client;
  const connect = connector?.connect?.bind(connector);
  if (!connector || !connect) return;
  connector.connect = async (...args) => {
    for (;;) {
      try {
        return await connect(...args);
      } catch (error) {
        if (client.manuallyClosing || (error as Error).message !== 'Connection is closed.') throw error;
      }
    }
  };
}

function quietenNodes(cluster: PrivateParts): void {
  cluster.on('+node', quietenParts);
  if (!cluster.subscriber) return;
  let current: PrivateParts | null = null;
  Object.defineProperty(cluster.subscriber, 'subscriber', {
    get: () => current,
    set: (node: PrivateParts | null) => {
      current = node && quietenParts(node);
    },
  });
}

/**
 * Connections that watch for a failover have no error listener: each loss would be printed. They take no
 * option of ours either: one whose Sentinel is gone keeps the process alive for the two seconds that the
 * client allows a socket to close by default.
 */
function quietenSentinels({ connector, options }: PrivateParts): void {
  const connect = connector?.connectToSentinel?.bind(connector);
  if (!connector || !connect) return;
  connector.connectToSentinel = (endpoint, given) => {
    const sentinel = connect(endpoint, { disconnectTimeout: options.disconnectTimeout, ...given });
    sentinel.on('error', () => undefined);
    return sentinel;
  };
}
