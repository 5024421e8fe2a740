import { EventEmitter } from 'node:events';
import type {
  CacheManager,
  CacheManagerEvents,
  CacheManagerItem,
  CacheManagerRaw,
  CacheManagerWrapOptions,
} from './cache-manager.types.js';
import type { CacheService } from './cache.service.js';
import type { CacheEntry, CacheSetOptions } from './cache.types.js';
import type { LoaderContext } from './loader.js';

/** cache-manager keeps a value without a time to live for ever; here that is the longest there is. */
const FOR_EVER_MS = 365 * 86_400_000;

type WrapSettings<T> = CacheManagerWrapOptions<T> & { raw?: boolean };

/** {@link CacheManager} on a cache of Rednest. @internal */
export class CacheManagerAdapter implements CacheManager {
  readonly stores: never[] = [];
  private readonly events = new EventEmitter();

  /** @param ttlMs time to live of what is written without one; `undefined`: the default of the cache */
  constructor(
    private readonly cache: CacheService,
    private readonly ttlMs: number | undefined,
  ) {}

  async get<T>(key: string): Promise<T | undefined> {
    const value = await this.cache.get<T>(key);
    this.events.emit('get', { key, value });
    return value;
  }

  async mget<T>(keys: string[]): Promise<(T | undefined)[]> {
    const found = await this.cache.getMany<T, string>(keys);
    const value = keys.map((key) => found.get(key));
    // cache-manager declares `value` and sends `values`; both are there.
    this.events.emit('mget', { keys, value, values: value });
    return value;
  }

  async ttl(key: string): Promise<number | undefined> {
    return endOf(fresh(await this.cache.getEntry(key)));
  }

  async set<T>(key: string, value: T, ttl?: number): Promise<T> {
    const isConfirmed = await this.write(key, value, ttl);
    this.events.emit('set', { key, value, ...faultOf(isConfirmed) });
    return value;
  }

  async mset<T>(list: CacheManagerItem<T>[]): Promise<CacheManagerItem<T>[]> {
    const confirmed = await Promise.all(list.map(({ key, value, ttl }) => this.write(key, value, ttl)));
    this.events.emit('mset', { list, ...faultOf(confirmed.every(Boolean)) });
    return list;
  }

  async del(key: string): Promise<boolean> {
    const { confirmed } = await this.cache.delete(key);
    this.events.emit('del', { key, ...faultOf(confirmed) });
    return true;
  }

  async mdel(keys: string[]): Promise<boolean> {
    const { confirmed } = await this.cache.delete(...keys);
    this.events.emit('mdel', { keys, ...faultOf(confirmed) });
    return true;
  }

  async clear(): Promise<boolean> {
    const isConfirmed = await this.cache.clear();
    this.events.emit('clear', faultOf(isConfirmed).error);
    return true;
  }

  on<E extends keyof CacheManagerEvents>(event: E, listener: CacheManagerEvents[E]): EventEmitter {
    return this.events.on(event, listener);
  }

  off<E extends keyof CacheManagerEvents>(event: E, listener: CacheManagerEvents[E]): EventEmitter {
    return this.events.off(event, listener);
  }

  async disconnect(): Promise<undefined> {
    return undefined;
  }

  cacheId(): string {
    return this.cache.name;
  }

  async wrap<T>(
    key: string,
    load: () => T | Promise<T>,
    ttlOrOptions?: number | ((value: T) => number) | WrapSettings<T>,
    refreshThreshold?: number | ((value: T) => number),
  ): Promise<T & CacheManagerRaw<T>> {
    const settings: WrapSettings<T> =
      typeof ttlOrOptions === 'object' ? ttlOrOptions : { ttl: ttlOrOptions, refreshThreshold };
    const isPlain = settings.refreshThreshold === undefined && settings.raw !== true;
    const entry = isPlain ? undefined : fresh(await this.cache.getEntry<T>(key));
    if (entry && isDue(entry, settings)) void this.refresh(key, load, settings, entry.value);
    const value = entry ? entry.value : await this.load(key, load, settings);
    if (!settings.raw) return value as T & CacheManagerRaw<T>;
    const expires = endOf(entry) ?? this.expectedEnd(value, settings);
    return { value, ...(expires === undefined ? {} : { expires }) } as T & CacheManagerRaw<T>;
  }

  private load<T>(
    key: string,
    load: () => T | Promise<T>,
    settings: WrapSettings<T>,
    forceRefresh = false,
  ): Promise<T> {
    const loader = async (context: LoaderContext<T>): Promise<T> => {
      const value = await load();
      const ttlMs = this.ttlOf(value, settings);
      if (ttlMs !== undefined && ttlMs < 0) return context.skip(value);
      if (ttlMs !== undefined) context.setTtl(lifetime(ttlMs));
      this.events.emit('set', { key, value });
      return value;
    };
    return this.cache.getOrSet(key, loader, { jitter: 0, forceRefresh });
  }

  private async refresh<T>(
    key: string,
    load: () => T | Promise<T>,
    settings: WrapSettings<T>,
    before: T,
  ): Promise<void> {
    try {
      this.events.emit('refresh', { key, value: await this.load(key, load, settings, true) });
    } catch (error) {
      this.events.emit('refresh', { key, value: before, error });
    }
  }

  /** `undefined` is a miss, so a key that is set to it has no entry. */
  private async write(key: string, value: {} | null | undefined, ttl: number | undefined): Promise<boolean> {
    const ttlMs = ttl ?? this.ttlMs;
    if (value === undefined || (ttlMs !== undefined && ttlMs < 0))
      return (await this.cache.delete(key)).confirmed;
    const options: CacheSetOptions = ttlMs === undefined ? {} : { ttl: lifetime(ttlMs), jitter: 0 };
    return this.cache.set(key, value, options);
  }

  private ttlOf<T>(value: T, { ttl }: WrapSettings<T>): number | undefined {
    return (typeof ttl === 'function' ? ttl(value) : ttl) ?? this.ttlMs;
  }

  private expectedEnd<T>(value: T, settings: WrapSettings<T>): number | undefined {
    const ttlMs = this.ttlOf(value, settings);
    return ttlMs === undefined ? undefined : Date.now() + lifetime(ttlMs);
  }
}

/** Whole milliseconds; 0 is for ever in cache-manager. */
function lifetime(ttlMs: number): number {
  return ttlMs === 0 ? FOR_EVER_MS : Math.min(Math.ceil(ttlMs), FOR_EVER_MS);
}

function isDue<T>(entry: CacheEntry<T>, { refreshThreshold }: WrapSettings<T>): boolean {
  const threshold =
    typeof refreshThreshold === 'function' ? refreshThreshold(entry.value) : (refreshThreshold ?? 0);
  return entry.freshForMs < threshold;
}

function fresh<T>(entry: CacheEntry<T> | undefined): CacheEntry<T> | undefined {
  return entry?.isStale ? undefined : entry;
}

/** Callers compare it with the clock of this machine. */
function endOf(entry: CacheEntry<unknown> | undefined): number | undefined {
  return entry && Date.now() + Math.round(entry.freshForMs);
}

function faultOf(isConfirmed: boolean): { error?: Error } {
  return isConfirmed ? {} : { error: new Error('Redis did not confirm it') };
}
