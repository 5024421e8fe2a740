import type { HostPort } from './endpoint.js';
import type { ResolvedConnection } from './resolved.js';
import { maskSecrets } from './secrets.js';

/** Where a connection leads, for health answers. */
export interface ConnectionTarget {
  /** Host, or path of the unix socket. */
  readonly host: string;
  /** `null` for a unix socket. */
  readonly port: number | null;
}

/** Plain copy of a connection with `***` for every secret; for logs and support requests. */
export function redactConnection(connection: ResolvedConnection): Record<string, unknown> {
  return maskSecrets(connection);
}

/**
 * One line that says where a connection leads, never with credentials.
 *
 * @example
 * describeConnection(connection); // 'rediss://db.example:6380/0'
 * // 'sentinel mymaster via a:26379,b:26379', 'cluster a:7000,b:7000', 'unix:/run/redis.sock'
 */
export function describeConnection(connection: ResolvedConnection): string {
  const database = connection.db === 0 ? '' : ` db ${connection.db}`;
  switch (connection.mode) {
    case 'single':
      return `${connection.tls ? 'rediss' : 'redis'}://${hostPort(connection)}/${connection.db}`;
    case 'unix':
      return `unix:${connection.path}${database}`;
    case 'sentinel':
      return `sentinel ${connection.name} via ${connection.hosts.map(hostPort).join(',')}${database}`;
    case 'cluster':
      return `cluster ${connection.nodes.map(hostPort).join(',')}`;
  }
}

/**
 * Host and port as configured. For Sentinel and Cluster that is the first address of the list; the
 * server actually talked to is known to the client alone.
 */
export function describeTarget(connection: ResolvedConnection): ConnectionTarget {
  switch (connection.mode) {
    case 'single':
      return { host: connection.host, port: connection.port };
    case 'unix':
      return { host: connection.path, port: null };
    case 'sentinel':
      return { ...connection.hosts[0]! };
    case 'cluster':
      return { ...connection.nodes[0]! };
  }
}

function hostPort({ host, port }: HostPort): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
