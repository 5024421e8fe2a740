import { Logger } from '@nestjs/common';
import { resolveConfiguration, withDefaultServer, type RednestConfiguration } from '../config/index.js';
import type { OwnedServer } from './connection-registry.js';
import type { RedisModuleOptions } from './redis.options.js';

/** The configuration in force, and the server that was started for it, if any. */
export interface StartedServers {
  configuration: RednestConfiguration;
  server?: OwnedServer;
}

/**
 * Resolves the configuration; when it names no server and an embedded engine was handed in, starts
 * the engine and points the default connection at it.
 */
export async function startServers(options: RedisModuleOptions): Promise<StartedServers> {
  const { client, env = process.env, logger = new Logger('Redis'), ...rest } = options;
  const configuration = resolveConfiguration(rest, env, { serverRequired: client === undefined });
  if (!configuration.embedded) return { configuration };
  const server = await configuration.embedded.start();
  logger.log(
    `No Redis server is configured: started an embedded one at ${server.url} (data ends with the process)`,
  );
  return { configuration: withDefaultServer(configuration, server.url), server };
}
