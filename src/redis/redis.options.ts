import type { RednestOptions } from '../config/index.js';
import type { RedisClient } from './client-factory.js';
import type { ConnectionLogger, LogFormat } from './connection-log.js';

/**
 * Options of `RedisModule`. Everything is optional: what is absent comes from the environment.
 *
 * @example
 * RedisModule.forRoot({ app: 'shop', connections: { cache: { url: 'redis://cache:6379' } } })
 */
export interface RedisModuleOptions extends RednestOptions {
  /**
   * A client the application created and will close itself. Rednest uses it for the `command` role
   * of the default connection and derives its other roles from it; it never closes it.
   */
  client?: RedisClient;
  /** Receives connection events. @default Nest's `Logger` with the context `Redis` */
  logger?: ConnectionLogger;
  /** How connection events are written. @default 'json' in production, otherwise 'pretty' */
  logFormat?: LogFormat;
  /**
   * Environment to read instead of `process.env`.
   *
   * @default process.env
   */
  env?: Readonly<Record<string, string | undefined>>;
}
