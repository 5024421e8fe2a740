import type { Duration } from '../common/index.js';
import type { Ttl } from '../redis/index.js';
import { CacheLoadFailedError } from './cache.errors.js';
import { checkTags, MAX_TAGS, resolveEntryOptions } from './entry.options.js';
import type { EntryValidators } from './entry-format.js';

/** Computes a value that is not cached. `undefined` is returned to the caller and not kept. */
export type CacheLoader<T> = (context: LoaderContext<T>) => T | Promise<T>;

/** The value that was there before, when it is still kept. */
export interface StaleValue<T> extends EntryValidators {
  /** The value; shared, do not change it. */
  readonly value: T;
}

/** What a loader may know and say about the value it loads. */
export interface LoaderContext<T> {
  /** The key as text, for logs of the loader. */
  readonly key: string;
  /** Aborted when nobody wants the value any more: after the hard limit, without `backgroundCompletion`. */
  readonly signal: AbortSignal;
  /** The value before, for a conditional request to the source. */
  readonly stale: StaleValue<T> | undefined;
  /** Kept with the value; the next load finds it in {@link stale}. */
  etag: string | undefined;
  /** As {@link etag}; milliseconds since the Unix epoch. */
  lastModified: number | undefined;
  /** Decides the time to live by what was loaded. */
  setTtl(ttl: Ttl | Duration): void;
  /** Decides the tags by what was loaded. They replace those of the options. */
  setTags(...tags: string[]): void;
  /**
   * The source says the value before is still right: it is fresh again, and keeps its tags beside those of the
   * options, unless {@link setTags} is called.
   *
   * @throws {Error} when there is none
   */
  notModified(): T;
  /** Hands a value to the callers without keeping it. */
  skip(value: T): T;
  /**
   * Gives up, as an error would: callers get a stale value if there is one.
   *
   * @throws {CacheLoadFailedError} always
   */
  fail(reason: string): never;
}

/** What the cache reads from a context after the loader has ended. */
export class LoadContext<T> implements LoaderContext<T> {
  etag: string | undefined = undefined;
  lastModified: number | undefined = undefined;
  /** `undefined`: as the options say. */
  ttlMs: number | undefined = undefined;
  /** `undefined`: as the options say. */
  tags: readonly string[] | undefined = undefined;
  private isSkipped = false;

  constructor(
    readonly key: string,
    readonly signal: AbortSignal,
    readonly stale: StaleValue<T> | undefined,
    /** Tags of the value before, and of the options. */
    private readonly knownTags: readonly string[] = [],
  ) {}

  setTtl(ttl: Ttl): void {
    this.ttlMs = resolveEntryOptions({ ttl }).ttlMs;
  }

  setTags(...tags: string[]): void {
    this.tags = checkTags(tags);
  }

  notModified(): T {
    if (!this.stale)
      throw new Error('notModified() was called without a value before; look at "stale" first');
    if (!this.tags) this.keepTags();
    this.etag ??= this.stale.etag;
    this.lastModified ??= this.stale.lastModified;
    return this.stale.value;
  }

  skip(value: T): T {
    this.isSkipped = true;
    return value;
  }

  fail(reason: string): never {
    throw new CacheLoadFailedError(reason);
  }

  /** What voided the value before voids it still, and what the options name does too. */
  private keepTags(): void {
    const tags = [...new Set(this.knownTags)];
    if (tags.length > MAX_TAGS) this.isSkipped = true;
    else this.tags = tags;
  }

  /** Whether the value is not to be kept. */
  get isUnwanted(): boolean {
    return this.isSkipped || this.signal.aborted;
  }

  /** What the loader said about the version of the value. */
  get validators(): EntryValidators | undefined {
    const { etag, lastModified } = this;
    if (etag === undefined && lastModified === undefined) return undefined;
    return {
      ...(etag === undefined ? {} : { etag }),
      ...(lastModified === undefined ? {} : { lastModified }),
    };
  }
}
