import { ConfigurationError, resolveDuration, type Duration } from '../common/index.js';
import { resolveTtl, type Ttl } from '../redis/index.js';

/** How long a loader may take. */
export interface LoaderTimeouts {
  /** After it a stale value is answered, if there is one; the load goes on. Needs `grace`. 1 ms to 1 h. */
  soft?: Duration;
  /**
   * After it the call fails with `CacheLoaderTimeoutError`, or answers a stale value; the load goes on
   * unless `backgroundCompletion` is `false`. 1 ms to 1 h.
   */
  hard?: Duration;
}

/** When a value that is still fresh is loaded anew behind the callers' backs. */
export type EagerRefresh = number | { readonly beta: number };

/** How one value is kept; defaults for a cache, or settings of one call. */
export interface CacheEntryOptions {
  /**
   * Time to live: a tier (`'short'` 30 s, `'medium'` 5 min, `'long'` 1 h) or a duration. After it the
   * value is stale: gone, or kept for {@link grace}. 1 ms to 365 days. @default 'medium'
   */
  ttl?: Ttl;
  /**
   * Share of the time to live by which it is shortened at random, so that values written together do
   * not end together. 0 to 1. @default 0.05
   */
  jitter?: number;
  /** Names under which {@link CacheService.deleteByTag} finds the value. At most 32, 1 to 200 bytes each. @default none */
  tags?: readonly string[];
  /**
   * How long a stale value is kept, to be answered when the loader fails or is late, or Redis is slow.
   * Up to 365 days; `false`: not at all. @default false
   */
  grace?: Ttl | false;
  /**
   * After a loader failed and a stale value was answered: how long nobody in the fleet tries again.
   * 1 ms to 1 h. @default '5s'
   */
  graceBackoff?: Duration;
  /**
   * How long after its time to live a value is still answered at once, while one caller of the fleet
   * loads it anew in the background; `true`: as long as {@link grace}. @default false
   */
  staleWhileRevalidate?: Ttl | boolean;
  /**
   * Loads anew before the value is stale: a number from 0 to 1 is the share of the time to live after
   * which the first hit does so; `{ beta: 1 }` draws lots, more often the nearer the end and the longer
   * the load took (XFetch). @default false
   */
  eagerRefresh?: EagerRefresh | false;
  /** Time limits of the loader. @default none */
  loaderTimeout?: LoaderTimeouts;
  /** Whether a load goes on, and is kept, after everybody has stopped waiting for it. @default true */
  backgroundCompletion?: boolean;
  /**
   * How long a process holds the right to load before it must renew it; another one takes over when it
   * died. It is renewed for as long as `loaderTimeout.hard` or {@link waitTimeout}, whichever is longer:
   * what a load brings after that is answered and not kept. `false`: no agreement between processes, one
   * load per process. 100 ms to 1 min. @default '3s'
   */
  lease?: Duration | false;
  /**
   * How long a call waits for the load of another process before it loads by itself. Also bounds how long a
   * load may take and still be kept, see {@link lease}. 1 ms to 1 h. @default '30s'
   */
  waitTimeout?: Duration;
  /** Time to live of `null`, when a loader answers it. @default the same as `ttl` */
  notFoundTtl?: Ttl;
  /** Whether a copy is kept in the memory of the process, if the module has such a tier. @default true */
  memory?: boolean;
  /**
   * Longest time one call waits for Redis. After it a read counts as a miss, and a write or delete
   * as failed. 1 ms to 1 min. @default '250ms'
   */
  timeout?: Duration;
  /**
   * Time after which a stale copy in memory is answered when Redis has not. Needs `grace` or
   * `staleWhileRevalidate`. 1 ms to 1 min. @default '50ms'
   */
  staleTimeout?: Duration;
}

/** {@link CacheEntryOptions} after checking, every value present. `0` is the off of an option. */
export interface ResolvedEntryOptions {
  readonly ttlMs: number;
  readonly jitter: number;
  readonly tags: readonly string[];
  readonly graceMs: number;
  readonly graceBackoffMs: number;
  /** How long after its time to live a value is answered at once. */
  readonly revalidateMs: number;
  readonly eagerRefresh: EagerRefresh | false;
  readonly softLoaderMs: number;
  readonly hardLoaderMs: number;
  readonly backgroundCompletion: boolean;
  readonly leaseMs: number;
  readonly waitMs: number;
  /** `undefined`: as `ttlMs`. */
  readonly notFoundTtlMs: number | undefined;
  readonly memory: boolean;
  readonly timeoutMs: number;
  readonly staleTimeoutMs: number;
}

/** Values used for entry options that are left out. */
export const CACHE_ENTRY_DEFAULTS: ResolvedEntryOptions = Object.freeze({
  ttlMs: 300_000,
  jitter: 0.05,
  tags: Object.freeze([]),
  graceMs: 0,
  graceBackoffMs: 5_000,
  revalidateMs: 0,
  eagerRefresh: false,
  softLoaderMs: 0,
  hardLoaderMs: 0,
  backgroundCompletion: true,
  leaseMs: 3_000,
  waitMs: 30_000,
  notFoundTtlMs: undefined,
  memory: true,
  timeoutMs: 250,
  staleTimeoutMs: 50,
});

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** Tags of one entry at most. */
export const MAX_TAGS = 32;
const MAX_TAG_BYTES = 200;
/** UTF-8 cannot carry it. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * Checks the options of a call over the defaults of its cache.
 *
 * @throws {ConfigurationError} naming the option
 */
export function resolveEntryOptions(
  input: CacheEntryOptions | undefined,
  defaults: ResolvedEntryOptions = CACHE_ENTRY_DEFAULTS,
): ResolvedEntryOptions {
  if (input === undefined) return defaults;
  const graceMs = offOr(input.grace, defaults.graceMs, (grace) => resolveTtl(grace, 'grace'));
  return {
    ttlMs: input.ttl === undefined ? defaults.ttlMs : resolveTtl(input.ttl),
    jitter: input.jitter === undefined ? defaults.jitter : resolveShare(input.jitter, 'jitter'),
    tags: input.tags === undefined ? defaults.tags : checkTags(input.tags),
    graceMs,
    graceBackoffMs: duration(input, 'graceBackoff', defaults.graceBackoffMs, HOUR_MS),
    revalidateMs: resolveRevalidation(input.staleWhileRevalidate, defaults, graceMs),
    eagerRefresh: input.eagerRefresh === undefined ? defaults.eagerRefresh : resolveEager(input.eagerRefresh),
    ...resolveLoaderTimeouts(input.loaderTimeout, defaults),
    backgroundCompletion: input.backgroundCompletion ?? defaults.backgroundCompletion,
    leaseMs: offOr(input.lease, defaults.leaseMs, (lease) =>
      resolveDuration(lease, 'lease', { minMs: 100, maxMs: MINUTE_MS }),
    ),
    waitMs: duration(input, 'waitTimeout', defaults.waitMs, HOUR_MS),
    notFoundTtlMs:
      input.notFoundTtl === undefined ? defaults.notFoundTtlMs : resolveTtl(input.notFoundTtl, 'notFoundTtl'),
    memory: input.memory ?? defaults.memory,
    timeoutMs: duration(input, 'timeout', defaults.timeoutMs, MINUTE_MS),
    staleTimeoutMs: duration(input, 'staleTimeout', defaults.staleTimeoutMs, MINUTE_MS),
  };
}

/**
 * Checks the tags of an entry.
 *
 * @throws {ConfigurationError} when there are too many, or one is empty, too long or not text
 */
export function checkTags(tags: readonly string[]): readonly string[] {
  if (Array.isArray(tags) && tags.length > MAX_TAGS) {
    throw new ConfigurationError(`Option "tags" has ${tags.length} tags; give at most ${MAX_TAGS}`);
  }
  return checkEachTag(tags);
}

/**
 * Checks tags, however many.
 *
 * @throws {ConfigurationError} when one is empty, too long or not text
 */
export function checkEachTag(tags: readonly string[]): readonly string[] {
  if (!Array.isArray(tags))
    throw new ConfigurationError('Option "tags" is not a list; give an array of text');
  for (const tag of tags as readonly unknown[]) {
    const isUsable = typeof tag === 'string' && tag !== '' && Buffer.byteLength(tag) <= MAX_TAG_BYTES;
    if (!isUsable || LONE_SURROGATE.test(tag)) {
      throw new ConfigurationError(
        `A cache tag cannot be used; give non-empty text of at most ${MAX_TAG_BYTES} bytes`,
      );
    }
  }
  return tags;
}

type DurationOption = 'graceBackoff' | 'waitTimeout' | 'timeout' | 'staleTimeout';

function duration(input: CacheEntryOptions, name: DurationOption, defaultMs: number, maxMs: number): number {
  const value = input[name];
  return value === undefined ? defaultMs : resolveDuration(value, name, { maxMs });
}

function offOr<T>(value: T | false | undefined, defaultMs: number, resolve: (value: T) => number): number {
  if (value === undefined) return defaultMs;
  return value === false ? 0 : resolve(value);
}

function resolveRevalidation(
  value: Ttl | boolean | undefined,
  defaults: ResolvedEntryOptions,
  graceMs: number,
): number {
  if (value === undefined) return defaults.revalidateMs;
  if (value === true && graceMs === 0) {
    throw new ConfigurationError(
      'Option "staleWhileRevalidate" is true without "grace"; give a duration, or both',
    );
  }
  return typeof value === 'boolean' ? (value ? graceMs : 0) : resolveTtl(value, 'staleWhileRevalidate');
}

function resolveLoaderTimeouts(
  input: LoaderTimeouts | undefined,
  defaults: ResolvedEntryOptions,
): Pick<ResolvedEntryOptions, 'softLoaderMs' | 'hardLoaderMs'> {
  const limit = (value: Duration | undefined, name: string, defaultMs: number): number =>
    value === undefined ? defaultMs : resolveDuration(value, `loaderTimeout.${name}`, { maxMs: HOUR_MS });
  return {
    softLoaderMs: limit(input?.soft, 'soft', defaults.softLoaderMs),
    hardLoaderMs: limit(input?.hard, 'hard', defaults.hardLoaderMs),
  };
}

function resolveEager(value: EagerRefresh | false): EagerRefresh | false {
  if (value === false) return false;
  if (typeof value === 'number') return resolveShare(value, 'eagerRefresh');
  if (Number.isFinite(value?.beta) && value.beta > 0) return value;
  throw new ConfigurationError(
    'Option "eagerRefresh" has no usable "beta"; give a number above 0, 1 is usual',
  );
}

function resolveShare(value: number, name: string): number {
  if (typeof value === 'number' && value >= 0 && value <= 1) return value;
  throw new ConfigurationError(`Option "${name}" is not a share; give a number from 0 to 1`);
}
