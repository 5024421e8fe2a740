import {
  ConfigurationError,
  isRednestError,
  jsonCodec,
  resolveDuration,
  type Codec,
  type Duration,
} from '../common/index.js';
import { DEFAULT_CONNECTION, resolveTtl, type Ttl } from '../redis/index.js';

/** Options of `CacheModule`; all optional. */
export interface CacheOptions {
  /** Name of the connection to use, as configured in `RedisModule`. @default 'default' */
  connection?: string;
  /**
   * Time to live of an entry whose call names none: a tier (`'short'` 30 s, `'medium'` 5 min,
   * `'long'` 1 h) or a duration. 1 ms to 365 days. @default 'medium'
   */
  ttl?: Ttl;
  /**
   * Longest time one call waits for Redis. After it a read counts as a miss, and a write or delete
   * as failed. Number = milliseconds, or `'250ms'`. 1 ms to 1 min. @default '250ms'
   */
  timeout?: Duration;
  /** Namespace of the injected {@link CacheService}; part of every key. @default 'default' */
  namespace?: string;
  /** How values become text. Changing it turns existing entries into misses. @default JSON */
  codec?: Codec;
}

/** Per-call settings of `CacheService.set`. */
export type CacheSetOptions = Pick<CacheOptions, 'ttl'>;

/** Per-call settings of `CacheService.getOrSet`. */
export type CacheLoadOptions = Pick<CacheOptions, 'ttl' | 'timeout'>;

/** {@link CacheOptions} after checking, every value present. */
export interface ResolvedCacheOptions {
  readonly connection: string;
  readonly ttlMs: number;
  readonly timeoutMs: number;
  readonly namespace: string;
  readonly codec: Codec;
}

/** Values used for options that are left out. */
export const CACHE_DEFAULTS: Readonly<Required<CacheOptions>> = Object.freeze({
  connection: DEFAULT_CONNECTION,
  ttl: 'medium',
  timeout: '250ms',
  namespace: 'default',
  codec: jsonCodec,
});

/**
 * Checks the options and fills in the defaults.
 *
 * @throws {ConfigurationError} listing every option that cannot be used
 */
export function resolveCacheOptions(input: CacheOptions = {}): ResolvedCacheOptions {
  const faults: string[] = [];
  const resolved = {
    connection: checked(faults, () => resolveName(input.connection, 'connection')),
    ttlMs: checked(faults, () => resolveTtl(input.ttl ?? CACHE_DEFAULTS.ttl, 'ttl')),
    timeoutMs: checked(faults, () => resolveTimeout(input.timeout ?? CACHE_DEFAULTS.timeout)),
    namespace: checked(faults, () => resolveName(input.namespace, 'namespace')),
    codec: checked(faults, () => resolveCodec(input.codec)),
  };
  if (faults.length > 0) throw new ConfigurationError(faults);
  return Object.freeze(resolved) as ResolvedCacheOptions;
}

/**
 * Converts the time limit of a call to milliseconds.
 *
 * @throws {ConfigurationError} when it is not a duration of 1 ms to 1 min
 */
export function resolveTimeout(timeout: Duration): number {
  return resolveDuration(timeout, 'timeout', { maxMs: 60_000 });
}

function resolveName(value: unknown, option: 'connection' | 'namespace'): string {
  if (value === undefined) return CACHE_DEFAULTS[option];
  if (typeof value === 'string' && value !== '') return value;
  throw new ConfigurationError(`Option "${option}" of the cache is not a name; give a non-empty string`);
}

function resolveCodec(codec: Codec | undefined): Codec {
  if (codec === undefined) return CACHE_DEFAULTS.codec;
  if (typeof codec?.encode === 'function' && typeof codec.decode === 'function') return codec;
  throw new ConfigurationError('Option "codec" of the cache is not a codec; give { encode, decode }');
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
