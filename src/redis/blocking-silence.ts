import { Cluster, type Redis, type RedisOptions } from 'ioredis';
import type { RedisClient } from './client-factory.js';

/**
 * Lets the duplicates of a client be silent for longer than the client itself. BullMQ is given one client,
 * sends what is answered at once on it, and blocks on a duplicate: with the patience of the duplicate a
 * dead socket of the client would be noticed four times as late.
 *
 * @param socketTimeoutMs silence the duplicates are allowed; `undefined` changes nothing
 */
export function withBlockingDuplicates<T extends RedisClient>(
  client: T,
  socketTimeoutMs: number | undefined,
): T {
  if (socketTimeoutMs === undefined) return client;
  if (client instanceof Cluster) patchCluster(client, socketTimeoutMs);
  else patch(client, socketTimeoutMs);
  return client;
}

function patch(client: Redis, socketTimeout: number): void {
  const duplicate = client.duplicate.bind(client);
  client.duplicate = (override?: Partial<RedisOptions>) => duplicate({ ...override, socketTimeout });
}

function patchCluster(cluster: Cluster, socketTimeout: number): void {
  const duplicate = cluster.duplicate.bind(cluster);
  cluster.duplicate = (nodes, override) => {
    const redisOptions = { ...cluster.options.redisOptions, ...override?.redisOptions, socketTimeout };
    return duplicate(nodes, { ...override, redisOptions });
  };
}
