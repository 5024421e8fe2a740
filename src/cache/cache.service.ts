import { resolveWholeNumber } from '../common/index.js';
import type { CacheCore, CacheView, EntryPlace, FoundValue } from './cache-core.js';
import { foundInMemory, NamedPlace } from './cache-core.js';
import { entryId, type CacheKey } from './cache-key.js';
import type { CacheLoads } from './cache-loads.js';
import type { CacheReads } from './cache-reads.js';
import type { CacheDeletion, CacheWrites } from './cache-writes.js';
import type { CacheNamespaceOptions } from './cache.options.js';
import {
  refuseUnused,
  toEntry,
  type CacheEntry,
  type CacheLoadManyOptions,
  type CacheLoadOptions,
  type CacheManyEntry,
  type CacheReadOptions,
  type CacheSetOptions,
  type CacheStats,
  type CacheWarmupEntry,
} from './cache.types.js';
import { isRefreshDue } from './eager-refresh.js';
import {
  checkEachTag,
  resolveEntryOptions,
  type CacheEntryOptions,
  type ResolvedEntryOptions,
} from './entry.options.js';
import { LoadPlan } from './load-runs.js';
import type { CacheLoader } from './loader.js';
import type { WriteBehind, WriteBehindOptions } from './write-behind.js';
import type { WriteThrough } from './write-through.js';

/** What the views of one module share. @internal */
export interface CacheParts {
  readonly core: CacheCore;
  readonly reads: CacheReads;
  readonly writes: CacheWrites;
  readonly loads: CacheLoads;
  readonly writeThrough: WriteThrough;
  /** A view of another namespace, with settings over those of another view. */
  view(name: string, options: CacheNamespaceOptions | undefined, from: CacheViewSettings): CacheViewSettings;
  writeBehind<T>(cache: CacheService, options: WriteBehindOptions<T>): WriteBehind<T>;
}

/** A namespace and the defaults of its calls. @internal */
export interface CacheViewSettings {
  readonly view: CacheView;
  readonly defaults: ResolvedEntryOptions;
}

/**
 * Cache on two tiers: the memory of the process, kept right by the server's word, and Redis. `null` is a
 * value, `undefined` is a miss.
 *
 * Redis never fails a call: when it is slow, gone or refuses, a read is a miss after at most
 * `timeout` (250 ms), a write or delete reports `false`, and {@link stats} and the log show it.
 * What does reject: an unusable key, option or value, and the loader's own error.
 *
 * @example
 * const user = await cache.getOrSet(['user', id], () => users.find(id), { ttl: 'short', tags: ['users'] });
 */
export class CacheService {
  private readonly view: CacheView;
  private readonly defaults: ResolvedEntryOptions;

  /** @internal inject it, or call {@link namespace} */
  constructor(
    private readonly parts: CacheParts,
    settings: CacheViewSettings,
  ) {
    this.view = settings.view;
    this.defaults = settings.defaults;
  }

  /** Namespace of this view. */
  get name(): string {
    return this.view.space.name;
  }

  /**
   * Reads a fresh value; `undefined` for a miss. No round trip for a copy in memory, one otherwise.
   *
   * The type is the caller's word: values are not validated.
   *
   * @throws {ConfigurationError} when the key or an option is unusable
   */
  get<T = unknown>(key: CacheKey, options?: CacheReadOptions): Promise<T | undefined> {
    // Not async: what such a function sets up in order to wait costs more than a hit in memory does.
    try {
      const place = this.place(key);
      const copy = (options?.memory ?? this.defaults.memory) ? this.inMemory(place) : undefined;
      return copy ? Promise.resolve(copy.value as T) : this.readFresh<T>(place, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Reads a value, fresh or stale, with what is known about it. Round trips as {@link get}.
   *
   * @throws {ConfigurationError} when the key or an option is unusable
   */
  async getEntry<T = unknown>(key: CacheKey, options?: CacheReadOptions): Promise<CacheEntry<T> | undefined> {
    const place = this.place(key);
    const { memory, timeoutMs } = resolveEntryOptions(options, this.defaults);
    const copy = memory ? this.inMemory(place) : undefined;
    const found = copy ? foundInMemory(copy) : await this.parts.reads.one(place, memory, timeoutMs);
    return found && toEntry<T>(found);
  }

  /**
   * Reads the copy in the memory of the process, if there is one that may be served. No round trip.
   *
   * @throws {ConfigurationError} when the key is unusable
   */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as in `get`, the caller's word
  peek<T = unknown>(key: CacheKey): T | undefined {
    return this.parts.core.memory?.fresh(this.place(key).key, this.view)?.value as T | undefined;
  }

  /**
   * Whether a fresh value is there. Round trips as {@link get}.
   *
   * @throws {ConfigurationError} when the key is unusable
   */
  async has(key: CacheKey): Promise<boolean> {
    return (await this.get(key)) !== undefined;
  }

  /**
   * Writes a value. A load of the same key that is running anywhere will not overwrite it. One round trip.
   *
   * @returns whether the server confirmed it; when it has no room for it, what was there is removed
   * @throws {CacheEncodeError} when the codec refuses the value
   * @throws {ConfigurationError} when the key or an option is unusable
   */
  set(key: CacheKey, value: {} | null, options?: CacheSetOptions): Promise<boolean> {
    try {
      return this.parts.writes.write(this.place(key), 'set', value, this.resolveWrite(options));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Writes a value unless a fresh one is there; one that {@link get} cannot read, for its version, is none. One
   * round trip.
   *
   * @returns whether it was written; `false` as well when the server did not confirm it
   * @throws {CacheEncodeError} when the codec refuses the value
   * @throws {ConfigurationError} when the key or an option is unusable
   */
  async add(key: CacheKey, value: {} | null, options?: CacheSetOptions): Promise<boolean> {
    return this.parts.writes.write(this.place(key), 'add', value, this.resolveWrite(options));
  }

  /**
   * Reads a value, or computes it with `loader` and keeps it: one load at a time in the whole fleet. No
   * round trip for a copy in memory, one for a hit in Redis; on a miss one before the loader, and one after
   * it that the caller does not wait for.
   *
   * Callers of the same key in this process share one read and one load, with the options of the first:
   * they get the same object, so do not change it. A {@link set}, {@link delete} or invalidation of a tag
   * during the load wins, wherever it happens: the loaded value goes to those who asked before, but it is
   * not kept.
   *
   * @throws the loader's error, when there is no stale value to stand in for it; nothing is cached
   * @throws {CacheLoaderTimeoutError} when the loader takes longer than `loaderTimeout.hard`
   * @throws {ConfigurationError} when the key or an option is unusable
   */
  getOrSet<T>(key: CacheKey, loader: CacheLoader<T>, options?: CacheLoadOptions): Promise<T> {
    try {
      const place = this.place(key);
      const force = options?.forceRefresh ?? false;
      if (!force && (options?.memory ?? this.defaults.memory)) {
        const copy = this.inMemory(place);
        if (copy) {
          const eager = options?.eagerRefresh ?? this.defaults.eagerRefresh;
          if (eager !== false) this.refreshIfDue(place, loader, options, foundInMemory(copy));
          return Promise.resolve(copy.value as T);
        }
      }
      return this.parts.loads.run(this.plan(place, loader, options, force));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** {@link getOrSet} under the name it has in cache-manager. */
  wrap<T>(key: CacheKey, loader: CacheLoader<T>, options?: CacheLoadOptions): Promise<T> {
    return this.getOrSet(key, loader, options);
  }

  /**
   * Reads fresh values. One round trip for all that are not in memory; on a Cluster one per bucket, sent
   * together.
   *
   * @returns the values found, by key as given
   * @throws {ConfigurationError} when a key is unusable
   */
  async getMany<T = unknown, Key extends CacheKey = CacheKey>(
    keys: readonly Key[],
    options?: CacheReadOptions,
  ): Promise<Map<Key, T>> {
    const { memory, timeoutMs } = resolveEntryOptions(options, this.defaults);
    const places = keys.map((key) => this.place(key));
    const found = await this.parts.reads.many(this.view, places, memory, timeoutMs);
    const values = new Map<Key, T>();
    for (const [index, { key }] of places.entries()) {
      const value = found.get(key);
      if (value !== undefined) values.set(keys[index]!, value as T);
    }
    return values;
  }

  /**
   * Writes values; otherwise as {@link set}. One round trip for up to 100, on a Cluster one per bucket, sent together.
   *
   * @returns whether the server confirmed all of them
   * @throws {CacheEncodeError} when the codec refuses a value; nothing was written
   * @throws {ConfigurationError} when a key or an option is unusable; nothing was written
   */
  async setMany(entries: Iterable<CacheManyEntry>, options?: CacheSetOptions): Promise<boolean> {
    const wanted = [...entries].map(({ key, value, ...own }) => {
      const { view, bucket, key: entry } = this.place(key);
      return { view, bucket, key: entry, value, options: this.resolveWrite({ ...options, ...own }) };
    });
    return this.parts.writes.writeMany(wanted);
  }

  /**
   * Reads the values of many ids, and loads those that are missing with one call of `loader`, but for those
   * that somebody in the fleet loads already: these are waited for, and loaded with a further call when
   * they were given up. What the loader leaves out of its answer stays missing. A {@link set} or
   * {@link delete} during the load wins. One round trip for what is not in memory, and one after the load that
   * the caller does not wait for; on a Cluster one per bucket, sent together.
   *
   * @param keyOf the key of an id
   * @returns the values found and loaded, by id
   * @throws the loader's error
   * @throws {ConfigurationError} when a key or an option is unusable
   */
  async getOrSetMany<Id, T>(
    ids: readonly Id[],
    keyOf: (id: Id) => CacheKey,
    loader: (missing: Id[]) => Promise<ReadonlyMap<Id, T>>,
    options?: CacheLoadManyOptions,
  ): Promise<Map<Id, T>> {
    refuseUnused(options);
    const places = new Map(ids.map((id) => [id, this.place(keyOf(id))]));
    const force = options?.forceRefresh ?? false;
    return this.parts.loads.runMany({ places: [...places], loader, options: this.resolve(options), force });
  }

  /**
   * Removes entries. Loads of these keys that are running anywhere will not bring them back. One round
   * trip; on a Cluster one per bucket, sent together.
   *
   * @throws {ConfigurationError} when a key is unusable
   */
  async delete(...keys: readonly CacheKey[]): Promise<CacheDeletion> {
    return this.parts.writes.remove(this.places(keys), 'delete', this.defaults.timeoutMs);
  }

  /**
   * Makes entries stale; what is left of their `grace` they may still stand in for a loader that fails.
   * Round trips as {@link delete}.
   *
   * @returns `removed`: how many were fresh
   * @throws {ConfigurationError} when a key is unusable
   */
  async expire(...keys: readonly CacheKey[]): Promise<CacheDeletion> {
    return this.parts.writes.remove(this.places(keys), 'expire', this.defaults.timeoutMs);
  }

  /**
   * Removes all entries with one of the tags, in this namespace, in constant time. Loads that are running
   * will not bring them back. One round trip for up to 256 tags; on a Cluster one per bucket, sent together.
   *
   * @returns whether the server confirmed it
   * @throws {ConfigurationError} when a tag is unusable
   */
  async deleteByTag(...tags: readonly string[]): Promise<boolean> {
    return this.invalidate(checkEachTag(tags), 'delete');
  }

  /** Makes all entries with one of the tags stale; otherwise as {@link deleteByTag}. */
  async expireByTag(...tags: readonly string[]): Promise<boolean> {
    return this.invalidate(checkEachTag(tags), 'expire');
  }

  /**
   * Removes all entries of this namespace in constant time, or makes them stale. Their memory is freed when
   * their time to live ends. Round trips as {@link deleteByTag}.
   *
   * @returns whether the server confirmed it
   */
  async clear(options: { mode?: 'delete' | 'expire' } = {}): Promise<boolean> {
    const { mode = 'delete' } = options;
    return this.parts.writes.invalidate(this.view.space, 'all', mode, this.defaults.timeoutMs);
  }

  /**
   * Writes a value to the store behind the cache, then to the cache. When the store fails, or another
   * write of the key overtakes this one, the entry is removed. Two round trips besides the store's.
   *
   * @param writer writes to the store. What it answers, unless `undefined`, is the value that counts
   * @returns the value that was written
   * @throws the writer's error
   * @throws {CacheEncodeError} when the codec refuses the value; the store has it, the cache does not
   * @throws {ConfigurationError} when the key or an option is unusable
   */
  async writeThrough<T extends {} | null>(
    key: CacheKey,
    value: T,
    writer: (value: T) => T | undefined | void | Promise<T | undefined | void>,
    options?: CacheSetOptions,
  ): Promise<T> {
    return this.parts.writeThrough.write(this.place(key), value, writer, this.resolveWrite(options));
  }

  /**
   * Makes a buffer whose values reach the store behind the cache later, together. Keep it as long as the
   * application runs; it is emptied at shutdown.
   *
   * @throws {ConfigurationError} when an option is unusable
   */
  writeBehind<T>(options: WriteBehindOptions<T>): WriteBehind<T> {
    return this.parts.writeBehind(this, options);
  }

  /**
   * The same cache under another namespace: equal keys in two namespaces do not meet, and tags and
   * {@link clear} do not reach from one to another. Views are cheap; a view of a view is a view of the
   * cache, with the settings of both.
   *
   * @throws {ConfigurationError} when the name or an option is unusable
   */
  namespace(name: string, options?: CacheNamespaceOptions): CacheService {
    const { view, defaults } = this;
    return new CacheService(this.parts, this.parts.view(name, options, { view, defaults }));
  }

  /**
   * Loads what is not there yet, a few at a time, so that the first callers find it.
   *
   * @param options.concurrency loads at a time, 1 to 1,000. Default 8
   * @returns how many values are there now; a loader that fails is counted in {@link stats} and passed over
   * @throws {ConfigurationError} when `concurrency` is not a whole number of that range
   */
  async warmup(entries: Iterable<CacheWarmupEntry>, options: { concurrency?: number } = {}): Promise<number> {
    const concurrency = resolveWholeNumber(options.concurrency ?? 8, 'concurrency', { max: 1000 });
    const queue = [...entries];
    let ready = 0;
    const worker = async (): Promise<void> => {
      for (let entry = queue.shift(); entry; entry = queue.shift()) {
        const { key, loader, ...own } = entry;
        const value = await this.getOrSet(key, loader, own).catch(() => undefined);
        if (value !== undefined) ready += 1;
      }
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
    return ready;
  }

  /** Numbers since the start, over all namespaces of this module. */
  stats(): CacheStats {
    const { observers, flights, writes, memory } = this.parts.core;
    return {
      ...observers.recorder.snapshot(),
      joined: flights.joined,
      inFlight: flights.size,
      pendingWrites: writes.size,
      memoryEntries: memory?.size ?? 0,
      memoryBytes: memory?.bytes ?? 0,
      isCoherent: memory?.isArmed ?? false,
    };
  }

  private async readFresh<T>(
    place: EntryPlace,
    options: CacheReadOptions | undefined,
  ): Promise<T | undefined> {
    const { memory, timeoutMs } = resolveEntryOptions(options, this.defaults);
    const found = await this.parts.reads.one(place, memory, timeoutMs);
    return found && found.staleForUs < 0 ? (found.value as T) : undefined;
  }

  private inMemory(place: EntryPlace) {
    const { memory, observers } = this.parts.core;
    const copy = memory?.fresh(place.key, place.view);
    if (copy) observers.recorder.countMemoryHit();
    return copy;
  }

  private refreshIfDue<T>(
    place: NamedPlace,
    loader: CacheLoader<T>,
    options: CacheLoadOptions | undefined,
    found: FoundValue,
  ): void {
    const plan = this.plan(place, loader, options, true);
    if (isRefreshDue(plan.options.eagerRefresh, found)) this.parts.loads.refresh(plan, found);
  }

  private plan<T>(
    place: NamedPlace,
    loader: CacheLoader<T>,
    options: CacheLoadOptions | undefined,
    force: boolean,
  ): LoadPlan<T> {
    return new LoadPlan(place, loader, this.resolve(options), force);
  }

  private invalidate(tags: readonly string[], mode: 'delete' | 'expire'): Promise<boolean> {
    if (tags.length === 0) return Promise.resolve(true);
    return this.parts.writes.invalidate(this.view.space, tags, mode, this.defaults.timeoutMs);
  }

  private resolve(options: CacheEntryOptions | undefined): ResolvedEntryOptions {
    return resolveEntryOptions(options, this.defaults);
  }

  /** Who gives a time to live with a value means that value, be it `null`. */
  private resolveWrite(options: CacheSetOptions | undefined): ResolvedEntryOptions {
    const resolved = this.resolve(options);
    if (options?.ttl === undefined || options.notFoundTtl !== undefined) return resolved;
    return { ...resolved, notFoundTtlMs: undefined };
  }

  private places(keys: readonly CacheKey[]): EntryPlace[] {
    return keys.map((key) => this.place(key));
  }

  private place(key: CacheKey): NamedPlace {
    const { view } = this;
    const id = entryId(key);
    const bucket = view.space.bucketOf(id);
    return new NamedPlace(view, id, bucket, bucket.entry(id));
  }
}
