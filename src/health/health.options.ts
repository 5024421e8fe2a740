import { ConfigurationError, isRednestError, resolveDuration, type Duration } from '../common/index.js';
import { DEFAULT_CONNECTION } from '../redis/index.js';

/** Options of `RedisHealthModule`; all optional. */
export interface RedisHealthOptions {
  /** Name of the connection that is checked when a check names none. @default 'default' */
  connection?: string;
  /**
   * Time the server has to answer PING before the check says `down`. Number = milliseconds, or
   * `'500ms'`. 1 ms to 10 s; keep it below the probe's own timeout, which is 1 s in Kubernetes.
   * @default '500ms'
   */
  pingTimeout?: Duration;
  /**
   * How long a result, good or bad, answers further checks of the same connection, so that probes
   * do not add up. `0` shares nothing but a ping that is running. At most 1 min. @default '250ms'
   */
  cacheFor?: Duration;
}

/** {@link RedisHealthOptions} after checking, every value present. */
export interface ResolvedRedisHealthOptions {
  readonly connection: string;
  readonly pingTimeoutMs: number;
  readonly cacheForMs: number;
}

/** Values used for options that are left out. */
export const REDIS_HEALTH_DEFAULTS: Readonly<Required<RedisHealthOptions>> = Object.freeze({
  connection: DEFAULT_CONNECTION,
  pingTimeout: '500ms',
  cacheFor: '250ms',
});

/**
 * Checks the options and fills in the defaults.
 *
 * @throws {ConfigurationError} listing every option that cannot be used
 */
export function resolveRedisHealthOptions(input: RedisHealthOptions = {}): ResolvedRedisHealthOptions {
  const { connection, pingTimeout, cacheFor } = { ...REDIS_HEALTH_DEFAULTS, ...withoutUndefined(input) };
  const faults: string[] = [];
  const resolved = {
    connection: checked(faults, () => resolveName(connection)),
    pingTimeoutMs: checked(faults, () => resolveDuration(pingTimeout, 'pingTimeout', { maxMs: 10_000 })),
    cacheForMs: checked(faults, () => resolveDuration(cacheFor, 'cacheFor', { minMs: 0, maxMs: 60_000 })),
  };
  if (faults.length > 0) throw new ConfigurationError(faults);
  return Object.freeze(resolved) as ResolvedRedisHealthOptions;
}

function withoutUndefined(input: RedisHealthOptions): RedisHealthOptions {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined));
}

function resolveName(value: unknown): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new ConfigurationError(
    'Option "connection" of the health checks is not a name; give a non-empty string',
  );
}

function checked<T>(faults: string[], resolve: () => T): T | undefined {
  try {
    return resolve();
  } catch (error) {
    if (!isRednestError(error, 'ERR_CONFIGURATION')) throw error;
    faults.push(error.message);
    return undefined;
  }
}
