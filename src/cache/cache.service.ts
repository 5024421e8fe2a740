import { resolveTtl, type Ttl } from '../redis/index.js';
import { encodeEntry } from './cache-entry.js';
import { cacheKey, type CacheKey } from './cache-key.js';
import type { CacheCounters } from './cache-recorder.js';
import type { CacheDeletion, CacheObservers, CacheStore, CacheWrite } from './cache-store.js';
import {
  resolveTimeout,
  type CacheLoadOptions,
  type CacheSetOptions,
  type ResolvedCacheOptions,
} from './cache.options.js';
import type { Fence, FencedFlights, Landing } from './fenced-flights.js';
import type { PendingWrites } from './pending-writes.js';

/** Computes a value that is not cached. `undefined` is returned to the caller and not kept. */
export type CacheLoader<T> = () => T | Promise<T>;

/** What `CacheService.stats` returns: numbers since the start, and what goes on now. */
export interface CacheStats extends CacheCounters {
  /** `getOrSet` calls that shared the read and load of another. */
  readonly joined: number;
  /** `getOrSet` calls reading or loading now, those that joined one not counted. */
  readonly inFlight: number;
  /** Loaded values being written behind their callers' backs now. */
  readonly pendingWrites: number;
}

/** What the views of all namespaces share. @internal */
export interface CacheCore {
  readonly options: ResolvedCacheOptions;
  readonly keyPrefix: string;
  readonly store: CacheStore;
  readonly flights: FencedFlights;
  readonly writes: PendingWrites;
  readonly observers: CacheObservers;
}

type LoadPlan = Omit<CacheWrite, 'text'>;

/**
 * Cache-aside on Redis. `null` is a value, `undefined` is a miss.
 *
 * Redis never fails a call: when it is slow, gone or refuses, a read is a miss after at most
 * `timeout` (250 ms), a write or delete reports `false`, and {@link stats} and the log show it.
 * What does reject: an unusable key, time to live or value, and the loader's own error.
 *
 * @example
 * const user = await cache.getOrSet(['user', id], () => users.find(id), { ttl: 'short' });
 */
export class CacheService {
  /** @internal inject it, or call {@link namespace} */
  constructor(
    private readonly core: CacheCore,
    /** Namespace of this view. */
    readonly name: string,
  ) {}

  /**
   * Reads a value; `undefined` for a miss. One round trip (GET).
   *
   * The type is the caller's word: entries are not validated.
   *
   * @throws {ConfigurationError} when the key is unusable
   */
  async get<T = unknown>(key: CacheKey): Promise<T | undefined> {
    const entry = await this.core.store.read(this.keyOf(key), this.core.options.timeoutMs);
    return entry?.value as T | undefined;
  }

  /**
   * Writes a value. A load of the same key that runs in this process will not overwrite it. One
   * round trip (SET PX).
   *
   * @returns whether the server confirmed it
   * @throws {CacheEncodeError} when the codec refuses the value
   * @throws {ConfigurationError} when the key or the time to live is unusable
   */
  async set(key: CacheKey, value: {} | null, options: CacheSetOptions = {}): Promise<boolean> {
    const { store, flights, options: defaults } = this.core;
    const write: CacheWrite = {
      key: this.keyOf(key),
      text: encodeEntry(value, defaults.codec),
      ttlMs: this.ttlOf(options.ttl),
      timeoutMs: defaults.timeoutMs,
    };
    flights.void(write.key);
    return store.write(write);
  }

  /**
   * Reads a value, or computes it with `loader` and keeps it. One round trip on a hit; on a miss
   * the value is returned as soon as it is loaded, and written behind the caller's back.
   *
   * Callers of the same key in this process share one read and one load, with the options of the
   * first: they get the same object, so do not change it. The loader has no time limit of its own.
   * A {@link set} or {@link delete} during the load wins: the loaded value still goes to those who
   * waited for it, but it is not written, and later callers do not get it.
   *
   * @throws the loader's error, to everybody who waited; nothing is cached
   * @throws {ConfigurationError} when the key or an option is unusable
   */
  async getOrSet<T>(key: CacheKey, loader: CacheLoader<T>, options: CacheLoadOptions = {}): Promise<T> {
    const { timeout } = options;
    const plan: LoadPlan = {
      key: this.keyOf(key),
      ttlMs: this.ttlOf(options.ttl),
      timeoutMs: timeout === undefined ? this.core.options.timeoutMs : resolveTimeout(timeout),
    };
    return this.core.flights.run(plan.key, (fence) => this.readThrough(plan, loader, fence));
  }

  /**
   * Removes entries. Loads of these keys that run in this process will not bring them back. One
   * round trip (UNLINK).
   *
   * @throws {ConfigurationError} when a key is unusable
   */
  async delete(...keys: readonly CacheKey[]): Promise<CacheDeletion> {
    const targets = keys.map((key) => this.keyOf(key));
    for (const target of targets) this.core.flights.void(target);
    if (targets.length === 0) return { removed: 0, confirmed: true };
    return this.core.store.remove(targets, this.core.options.timeoutMs);
  }

  /**
   * The same cache under another namespace: equal keys in two namespaces do not meet. Views are
   * cheap, and names are absolute: a view of a view is a view of the cache.
   *
   * @throws {ConfigurationError} when the name is not a non-empty string
   */
  namespace(name: string): CacheService {
    cacheKey(this.core.keyPrefix, name, 'probe');
    return new CacheService(this.core, name);
  }

  /** Numbers since the start, over all namespaces of this cache. */
  stats(): CacheStats {
    const { observers, flights, writes } = this.core;
    return {
      ...observers.recorder.snapshot(),
      joined: flights.joined,
      inFlight: flights.size,
      pendingWrites: writes.size,
    };
  }

  private async readThrough<T>(plan: LoadPlan, loader: CacheLoader<T>, fence: Fence): Promise<Landing<T>> {
    const entry = await this.core.store.read(plan.key, plan.timeoutMs);
    if (entry) return { value: entry.value as T };
    const value = await this.load(loader);
    return { value, write: value === undefined ? undefined : this.writeBehind(plan, value, fence) };
  }

  private async load<T>(loader: CacheLoader<T>): Promise<T> {
    const { recorder } = this.core.observers;
    recorder.count('loads');
    try {
      return await loader();
    } catch (error) {
      recorder.count('loadFailures');
      throw error;
    }
  }

  private writeBehind(plan: LoadPlan, value: unknown, fence: Fence): Promise<boolean> | undefined {
    const text = this.encodeLoaded(value);
    if (text === undefined) return undefined;
    const write = this.core.store.write({ ...plan, text }, fence);
    this.core.writes.track(write);
    return write;
  }

  /** The caller asked for the value, not for the cache: one that cannot be stored is not an error. */
  private encodeLoaded(value: unknown): string | undefined {
    try {
      return encodeEntry(value, this.core.options.codec);
    } catch {
      this.core.observers.recorder.count('writeFailures');
      this.core.observers.log.faulty('refused');
      return undefined;
    }
  }

  private keyOf(key: CacheKey): string {
    return cacheKey(this.core.keyPrefix, this.name, key);
  }

  private ttlOf(ttl: Ttl | undefined): number {
    return ttl === undefined ? this.core.options.ttlMs : resolveTtl(ttl);
  }
}
