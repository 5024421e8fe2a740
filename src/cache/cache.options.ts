import {
  ConfigurationError,
  isRednestError,
  resolveDuration,
  resolveWholeNumber,
  type Duration,
} from '../common/index.js';
import { DEFAULT_CONNECTION } from '../redis/index.js';
import { resolveEntryOptions, type CacheEntryOptions, type ResolvedEntryOptions } from './entry.options.js';
import type { CacheCodec } from './value-codec.js';

/** How large the copies in the memory of a process may grow. */
export interface MemoryOptions {
  /** Values at most; the least recently used go first. 1 to 10,000,000. @default 10_000 */
  maxEntries?: number;
  /** Encoded bytes of all values together at most. 1 KiB to 16 GiB. @default 67_108_864 (64 MiB) */
  maxBytes?: number;
  /** Longest life of a copy, whatever the entry's own. 1 ms to 1 day. @default '5m' */
  ttl?: Duration;
  /**
   * Whether copies are frozen, so that a caller who changes one gets an error instead of changing it
   * for everybody; what `Map`, `Set`, `Date` and bytes hold cannot be. @default true unless NODE_ENV is 'production'
   */
  freeze?: boolean;
}

/**
 * How copies in memory learn of changes. `tracking`: the server tells, whoever made the change; `pubsub`:
 * the caches of this application tell each other, for servers that refuse CLIENT TRACKING; `auto`: the
 * first of these that the server allows; `none`: not at all, a copy lives until its time ends. All processes must
 * agree: who is told by the server does not tell others.
 */
export type CacheCoherence = 'auto' | 'tracking' | 'pubsub' | 'none';

/** How stored values are made smaller. */
export interface CompressionOptions {
  /** How. brotli is smaller and slower. @default 'gzip' */
  algorithm?: 'gzip' | 'brotli';
  /** Encoded bytes from which on a value is compressed. 256 bytes to 512 MiB. @default 16_384 */
  threshold?: number;
}

/** Settings of one named cache, over those of the module. */
export interface CacheNamespaceOptions extends CacheEntryOptions {
  /**
   * Version of the shape of the values. Entries of another version are misses, so raise it when a
   * deployment reads values in another way than they were written. 0 to 65,535. @default 0
   */
  version?: number;
  /**
   * How values become bytes. Changing it turns existing entries into misses. A `Packr` of msgpackr fits.
   * @default JSON where that is exact, devalue otherwise
   */
  codec?: CacheCodec;
}

/** Options of `CacheModule`; all optional. Settings of entries are defaults for every call. */
export interface CacheOptions extends Omit<CacheNamespaceOptions, 'memory'> {
  /** Name of the connection to use, as configured in `RedisModule`. @default 'default' */
  connection?: string;
  /** Namespace of the injected `CacheService`; part of every key. @default 'default' */
  namespace?: string;
  /** Copies in the memory of the process; `false`: none. @default { maxEntries: 10_000, maxBytes: 64 MiB } */
  memory?: MemoryOptions | false;
  /**
   * How copies in memory learn of changes: from the server (`tracking`) or from each other (`pubsub`). All processes
   * must agree. @default 'auto'
   */
  coherence?: CacheCoherence;
  /**
   * Who compares the tags of an entry with what was invalidated. `server`: the read itself, always exact;
   * `local`: this process, with a copy of the invalidations that tracking keeps up to date. @default 'server'
   */
  tagCheck?: 'server' | 'local';
  /**
   * Parts a namespace is spread over on a Cluster; invalidations by tag go to each. All processes must
   * agree. 1 to 256. @default 16 on a Cluster, 1 elsewhere
   */
  buckets?: number;
  /** Whether large values are compressed; `false`: never. @default false */
  compression?: CompressionOptions | false;
  /**
   * Bytes a compressed value may grow to when it is read; larger ones are misses, and are not compressed
   * when they are written. 1 KiB to 512 MiB. @default 67_108_864 (64 MiB)
   */
  maxDecompressedBytes?: number;
}

/** {@link CacheOptions} after checking, every value present. */
export interface ResolvedCacheOptions {
  readonly connection: string;
  readonly namespace: string;
  readonly entry: ResolvedEntryOptions;
  readonly version: number;
  readonly codec: CacheCodec | undefined;
  readonly memory: ResolvedMemoryOptions | undefined;
  readonly coherence: CacheCoherence;
  readonly tagCheck: 'server' | 'local';
  /** `undefined`: by the kind of server. */
  readonly buckets: number | undefined;
  readonly compression: Readonly<Required<CompressionOptions>> | undefined;
  readonly maxDecompressedBytes: number;
}

/** {@link MemoryOptions} after checking. */
export interface ResolvedMemoryOptions {
  readonly maxEntries: number;
  readonly maxBytes: number;
  readonly ttlMs: number;
  readonly freeze: boolean;
}

/** Values used for options of the module that are left out; those of entries are `CACHE_ENTRY_DEFAULTS`. */
export const CACHE_DEFAULTS = Object.freeze({
  connection: DEFAULT_CONNECTION,
  namespace: 'default',
  version: 0,
  coherence: 'auto',
  tagCheck: 'server',
  memory: Object.freeze({ maxEntries: 10_000, maxBytes: 64 * 1024 * 1024, ttl: '5m' }),
  compression: Object.freeze({ algorithm: 'gzip', threshold: 16_384 }),
  maxDecompressedBytes: 64 * 1024 * 1024,
} as const);

/**
 * Checks the options and fills in the defaults.
 *
 * @throws {ConfigurationError} listing every option that cannot be used
 */
export function resolveCacheOptions(input: CacheOptions = {}): ResolvedCacheOptions {
  const faults: string[] = [];
  const resolved = {
    connection: checked(faults, () => resolveName(input.connection, 'connection')),
    namespace: checked(faults, () => resolveName(input.namespace, 'namespace')),
    entry: checked(faults, () => resolveEntryOptions({ ...input, memory: undefined })),
    version: checked(faults, () => resolveVersion(input.version)),
    codec: checked(faults, () => resolveCodec(input.codec)),
    memory: checked(faults, () => resolveMemory(input.memory)),
    coherence: checked(faults, () =>
      oneOf(input.coherence, 'coherence', ['auto', 'tracking', 'pubsub', 'none']),
    ),
    tagCheck: checked(faults, () => oneOf(input.tagCheck, 'tagCheck', ['server', 'local'])),
    buckets: checked(faults, () =>
      input.buckets === undefined ? undefined : resolveWholeNumber(input.buckets, 'buckets', { max: 256 }),
    ),
    compression: checked(faults, () => resolveCompression(input.compression)),
    maxDecompressedBytes: checked(faults, () => {
      const { maxDecompressedBytes = CACHE_DEFAULTS.maxDecompressedBytes } = input;
      return resolveWholeNumber(maxDecompressedBytes, 'maxDecompressedBytes', {
        min: 1024,
        max: 512 * 1024 ** 2,
      });
    }),
  };
  if (faults.length > 0) throw new ConfigurationError(faults);
  return Object.freeze(resolved) as ResolvedCacheOptions;
}

/**
 * Checks the version of a cache.
 *
 * @throws {ConfigurationError} when it is not a whole number of 0 to 65,535
 */
export function resolveVersion(version: number | undefined): number {
  return version === undefined
    ? CACHE_DEFAULTS.version
    : resolveWholeNumber(version, 'version', { min: 0, max: 65_535 });
}

/**
 * Checks a codec.
 *
 * @throws {ConfigurationError} when it lacks a function
 */
export function resolveCodec(codec: CacheCodec | undefined): CacheCodec | undefined {
  if (codec === undefined) return undefined;
  if (typeof codec?.encode === 'function' && typeof codec.decode === 'function') return codec;
  throw new ConfigurationError('Option "codec" of the cache is not a codec; give { encode, decode }');
}

function resolveName(value: unknown, option: 'connection' | 'namespace'): string {
  if (value === undefined) return CACHE_DEFAULTS[option];
  if (typeof value === 'string' && value !== '') return value;
  throw new ConfigurationError(`Option "${option}" of the cache is not a name; give a non-empty string`);
}

function resolveMemory(input: MemoryOptions | false | undefined): ResolvedMemoryOptions | undefined {
  if (input === false) return undefined;
  const { maxEntries, maxBytes, ttl } = { ...CACHE_DEFAULTS.memory, ...input };
  return Object.freeze({
    maxEntries: resolveWholeNumber(maxEntries, 'memory.maxEntries', { max: 10_000_000 }),
    maxBytes: resolveWholeNumber(maxBytes, 'memory.maxBytes', { min: 1024, max: 16 * 1024 ** 3 }),
    ttlMs: resolveDuration(ttl, 'memory.ttl', { maxMs: 86_400_000 }),
    freeze: input?.freeze ?? process.env['NODE_ENV'] !== 'production',
  });
}

function resolveCompression(
  input: CompressionOptions | false | undefined,
): Readonly<Required<CompressionOptions>> | undefined {
  if (input === undefined || input === false) return undefined;
  const { algorithm, threshold } = { ...CACHE_DEFAULTS.compression, ...input };
  return Object.freeze({
    algorithm: oneOf(algorithm, 'compression.algorithm', ['gzip', 'brotli']),
    threshold: resolveWholeNumber(threshold, 'compression.threshold', { min: 256, max: 512 * 1024 ** 2 }),
  });
}

/** The first choice is the default. */
function oneOf<const T extends string>(value: T | undefined, name: string, choices: readonly [T, ...T[]]): T {
  if (value === undefined) return choices[0];
  if (choices.includes(value)) return value;
  throw new ConfigurationError(`Option "${name}" is none of its values; give one of ${choices.join(', ')}`);
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
