import { ConfigurationError } from '../common/index.js';
import type { FoundValue } from './cache-core.js';
import type { CacheKey } from './cache-key.js';
import type { CacheCounters } from './cache-recorder.js';
import type { CacheEntryOptions } from './entry.options.js';
import type { CacheLoader } from './loader.js';

/** Settings of a read. */
export type CacheReadOptions = Pick<CacheEntryOptions, 'memory' | 'timeout'>;

/** Settings of a write. */
export type CacheSetOptions = Pick<
  CacheEntryOptions,
  'ttl' | 'jitter' | 'tags' | 'grace' | 'staleWhileRevalidate' | 'notFoundTtl' | 'timeout'
>;

/** Settings of `CacheService.getOrSet`. */
export interface CacheLoadOptions extends CacheEntryOptions {
  /** Loads although a fresh value is there; others may answer it meanwhile. @default false */
  forceRefresh?: boolean;
}

/** Settings of `CacheService.getOrSetMany`. Values that are stale do not stand in for its loader. */
export type CacheLoadManyOptions = CacheSetOptions &
  Pick<CacheLoadOptions, 'memory' | 'lease' | 'waitTimeout' | 'forceRefresh'>;

/** One entry of `CacheService.setMany`. */
export interface CacheManyEntry extends CacheSetOptions {
  /** Key of the entry. */
  readonly key: CacheKey;
  /** What is written. */
  readonly value: {} | null;
}

/** One entry of `CacheService.warmup`. */
export interface CacheWarmupEntry<T = unknown> extends CacheLoadOptions {
  /** Key of the entry. */
  readonly key: CacheKey;
  /** Called when no fresh value is there. */
  readonly loader: CacheLoader<T>;
}

/** A value with what is known about it. */
export interface CacheEntry<T> {
  /** The value; shared, do not change it. */
  readonly value: T;
  /** When it was loaded or set, by the server's clock, to a tenth of a second. */
  readonly createdAt: Date;
  /** When it becomes, or became, stale. */
  readonly expiresAt: Date;
  /** Milliseconds until it becomes stale, negative since it has; unlike the dates, whatever the clock of this machine. */
  readonly freshForMs: number;
  /** Whether its time to live is over. */
  readonly isStale: boolean;
  /** Where it was found. */
  readonly tier: 'memory' | 'redis';
  /** Tags it was written with. */
  readonly tags: readonly string[];
}

/** What `CacheService.stats` returns: numbers since the start, and what goes on now. */
export interface CacheStats extends CacheCounters {
  /** `getOrSet` calls that shared the read and load of another. */
  readonly joined: number;
  /** `getOrSet` calls reading or loading now, those that joined one not counted. */
  readonly inFlight: number;
  /** Loaded values being written behind their callers' backs now. */
  readonly pendingWrites: number;
  /** Copies in the memory of the process. */
  readonly memoryEntries: number;
  /** Bytes they take, roughly. */
  readonly memoryBytes: number;
  /** Whether copies are served: the process hears of changes. `false` without a memory tier. */
  readonly isCoherent: boolean;
}

const UNUSED_BY_MANY = [
  'graceBackoff',
  'eagerRefresh',
  'loaderTimeout',
  'backgroundCompletion',
  'staleTimeout',
] as const satisfies readonly (keyof CacheLoadOptions)[];

/**
 * Options that would be ignored are mistakes of whoever gives them.
 *
 * @throws {ConfigurationError} naming one
 * @internal
 */
export function refuseUnused(options: CacheLoadOptions | undefined): void {
  const unused = UNUSED_BY_MANY.find((name) => options?.[name] !== undefined);
  if (unused === undefined) return;
  throw new ConfigurationError(
    `Option "${unused}" has no meaning for getOrSetMany; leave it out, or call getOrSet for each key`,
  );
}

/** What a reader gets to see of what was found. @internal */
export function toEntry<T>(found: FoundValue): CacheEntry<T> {
  const { value, stampUs, softUs, staleForUs, tier, tags } = found;
  return {
    value: value as T,
    createdAt: new Date(stampUs / 1000),
    expiresAt: new Date(softUs / 1000),
    freshForMs: -staleForUs / 1000,
    isStale: staleForUs >= 0,
    tier,
    tags,
  };
}
