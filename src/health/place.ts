import type { ManagedConnection } from '../redis/index.js';

/** Where a check looked; part of every result. */
export interface RedisHealthPlace {
  /** Configured name of the connection. */
  readonly connection: string;
  /**
   * Host as configured; the first one of a Cluster, the path of a unix socket. With Sentinels the
   * address of the master in use, and the first Sentinel while there is none.
   */
  readonly host?: string;
  /** Port of {@link host}; `null` for a unix socket. */
  readonly port?: number | null;
  /** Stands in for the host when the application handed in its own client. */
  readonly target?: string;
}

/** Where a connection leads. @internal */
export function placeOf(link: ManagedConnection): RedisHealthPlace {
  const { connection, address, target } = link;
  if (!address) return { connection, target };
  return { connection, host: address.host, port: address.port, ...masterOf(link) };
}

/** Only the live socket knows which master the Sentinels named. */
function masterOf({ client, isReady }: ManagedConnection): Pick<RedisHealthPlace, 'host' | 'port'> {
  if (!isReady || !('stream' in client) || !client.options.sentinels) return {};
  const { remoteAddress: host, remotePort: port } = client.stream as Partial<typeof client.stream>;
  return host === undefined || port === undefined ? {} : { host, port };
}
