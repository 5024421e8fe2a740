import type { EventEmitter } from 'node:events';

/** Options of {@link CacheManager.wrap}. Times are milliseconds. */
export interface CacheManagerWrapOptions<T> {
  /** Time to live, fixed or by value. */
  ttl?: number | ((value: T) => number);
  /** A hit with less time left than this loads anew behind the caller's back. */
  refreshThreshold?: number | ((value: T) => number);
}

/** A value with its end, as `wrap` gives it with `raw: true`. */
export interface CacheManagerRaw<T> {
  /** The value. */
  value: T;
  /** Milliseconds since the Unix epoch. */
  expires?: number;
}

/** One entry of {@link CacheManager.mset}. */
export interface CacheManagerItem<T> {
  /** Its key. */
  key: string;
  /** Its value. */
  value: T;
  /** Milliseconds. */
  ttl?: number;
}

/** Events of {@link CacheManager.on}, as in cache-manager 7. `error`: Redis did not confirm it. */
export interface CacheManagerEvents {
  /** After `get`. */
  get: (data: { key: string; value?: unknown; error?: unknown }) => void;
  /** After `mget`. */
  mget: (data: { keys: string[]; value?: unknown[]; error?: unknown }) => void;
  /** After `set`, and after `wrap` has loaded. */
  set: (data: { key: string; value: unknown; error?: unknown }) => void;
  /** After `mset`. */
  mset: (data: { list: CacheManagerItem<unknown>[]; error?: unknown }) => void;
  /** After `del`. */
  del: (data: { key: string; error?: unknown }) => void;
  /** After `clear`. */
  clear: (error?: unknown) => void;
  /** After `wrap` has loaded behind the caller's back. */
  refresh: (data: { key: string; value: unknown; error?: unknown }) => void;
}

/** The interface of cache-manager 7, so that its users need no other type. */
export interface CacheManager {
  /** Reads a value; `undefined` for a miss. */
  get<T>(key: string): Promise<T | undefined>;
  /** Reads values in the order of their keys. */
  mget<T>(keys: string[]): Promise<(T | undefined)[]>;
  /** End of an entry in milliseconds since the Unix epoch; `undefined` for a miss. */
  ttl(key: string): Promise<number | undefined>;
  /** Writes a value and returns it. `ttl` is milliseconds. */
  set<T>(key: string, value: T, ttl?: number): Promise<T>;
  /** Writes values and returns the list. */
  mset<T>(list: CacheManagerItem<T>[]): Promise<CacheManagerItem<T>[]>;
  /** Removes an entry. */
  del(key: string): Promise<boolean>;
  /** Removes entries. */
  mdel(keys: string[]): Promise<boolean>;
  /** Removes all entries of the cache. */
  clear(): Promise<boolean>;
  /** Adds a listener. */
  on<E extends keyof CacheManagerEvents>(event: E, listener: CacheManagerEvents[E]): EventEmitter;
  /** Removes a listener. */
  off<E extends keyof CacheManagerEvents>(event: E, listener: CacheManagerEvents[E]): EventEmitter;
  /** Does nothing: the connection belongs to `RedisModule`. */
  disconnect(): Promise<undefined>;
  /** Name of the cache. */
  cacheId(): string;
  /** Always empty: there are no Keyv stores. */
  readonly stores: never[];
  /** Reads a value, or computes and keeps it; one load at a time in the whole fleet. */
  wrap<T>(
    key: string,
    load: () => T | Promise<T>,
    ttl?: number | ((value: T) => number),
    refreshThreshold?: number | ((value: T) => number),
  ): Promise<T>;
  /** {@link wrap} with its settings as an object. */
  wrap<T>(key: string, load: () => T | Promise<T>, options: CacheManagerWrapOptions<T>): Promise<T>;
  /** {@link wrap} that also says when the value ends. */
  wrap<T>(
    key: string,
    load: () => T | Promise<T>,
    options: CacheManagerWrapOptions<T> & { raw: true },
  ): Promise<CacheManagerRaw<T>>;
}
