import { RedisCommandError } from '../redis/index.js';
import { groupByBucket } from './cache-reads.js';
import { noteFailure, type CacheCore, type EntryPlace } from './cache-core.js';
import type { Bucket, CacheSpace } from './cache-key.js';
import type { ResolvedEntryOptions } from './entry.options.js';
import { fillingOf } from './filling.js';
import type { InvalidationTarget } from './remote-tier.js';
import type { EncodedValue } from './value-codec.js';

/** Result of a delete. */
export interface CacheDeletion {
  /** Entries that were there and are gone. Those of parts that were not confirmed are not counted. */
  readonly removed: number;
  /**
   * Whether the server answered. `false`: some entries may still be there, until their time to live
   * ends; repeat the call or shorten the time to live where that matters.
   */
  readonly confirmed: boolean;
}

/** An entry that is to be written, and how. */
export interface WantedWrite extends EntryPlace {
  readonly value: unknown;
  readonly options: ResolvedEntryOptions;
}

/** Values of one script: the server does nothing else meanwhile. */
const MAX_VALUES = 100;

/** Writes and invalidations. Nothing here rejects but for a value that cannot be encoded. */
export class CacheWrites {
  constructor(private readonly core: CacheCore) {}

  /** @returns whether the server confirmed it and, for `add`, nothing fresh was there */
  async write(
    place: EntryPlace,
    mode: 'set' | 'add',
    value: unknown,
    options: ResolvedEntryOptions,
  ): Promise<boolean> {
    const { remote, observers } = this.core;
    const { view, bucket, key } = place;
    // Encoded at once: the caller may change the object after the call.
    const encoded = view.codec.encode(value);
    this.touch(key);
    try {
      const compressed = view.codec.compress(encoded);
      const filling = fillingOf(place, value, isPromise(compressed) ? await compressed : compressed, options);
      const stampUs = await remote.write(bucket, mode, filling, options.timeoutMs);
      observers.log.succeeded('write');
      if (stampUs === 0) return false;
      observers.recorder.count('writes');
      return true;
    } catch (error) {
      noteFailure(observers, 'write', 'writeFailures', error);
      // A server that is full has room for a deletion; what was there is older than what the caller has.
      if (mode === 'set' && isOutOfMemory(error)) await this.remove([place], 'delete', options.timeoutMs);
      return false;
    } finally {
      this.touch(key);
    }
  }

  /** Writes entries, one script per bucket. @returns whether the server confirmed all of them */
  async writeMany(wanted: readonly WantedWrite[]): Promise<boolean> {
    // All of them before any is written: one that is refused leaves nothing half done.
    const encoded = wanted.map((each) => ({ ...each, encoded: each.view.codec.encode(each.value) }));
    for (const { key } of wanted) this.touch(key);
    const groups = groupByBucket(encoded, MAX_VALUES);
    const written = await Promise.all(groups.map(([bucket, group]) => this.writeGroup(bucket, group)));
    for (const { key } of wanted) this.touch(key);
    return written.every(Boolean);
  }

  private async writeGroup(
    bucket: Bucket,
    group: readonly (WantedWrite & { readonly encoded: EncodedValue })[],
  ): Promise<boolean> {
    const { remote, observers } = this.core;
    const timeoutMs = Math.max(...group.map(({ options }) => options.timeoutMs));
    try {
      const compressed = group.map(({ view, encoded }) => view.codec.compress(encoded));
      const ready = compressed.some(isPromise)
        ? await Promise.all(compressed.map((each) => Promise.resolve(each)))
        : (compressed as EncodedValue[]);
      const fillings = group.map((each, index) => fillingOf(each, each.value, ready[index]!, each.options));
      await remote.writeMany(bucket, fillings, timeoutMs);
      observers.log.succeeded('write');
      observers.recorder.add('writes', group.length);
      return true;
    } catch (error) {
      noteFailure(observers, 'write', 'writeFailures', error);
      observers.recorder.add('writeFailures', group.length - 1);
      if (isOutOfMemory(error)) await this.remove(group, 'delete', timeoutMs);
      return false;
    }
  }

  /** Deletes entries, or makes them stale. */
  async remove(
    places: readonly EntryPlace[],
    mode: 'delete' | 'expire',
    timeoutMs: number,
  ): Promise<CacheDeletion> {
    const { remote, observers } = this.core;
    for (const { key } of places) this.touch(key);
    const counts = await Promise.allSettled(
      groupByBucket(places).map(([bucket, group]) =>
        remote.remove(
          bucket,
          group.map(({ key }) => key),
          mode,
          timeoutMs,
        ),
      ),
    );
    for (const { key } of places) this.touch(key);
    const removed = counts.reduce((sum, count) => sum + (count.status === 'fulfilled' ? count.value : 0), 0);
    const failed = counts.find((count) => count.status === 'rejected');
    if (failed) {
      noteFailure(observers, 'delete', 'deleteFailures', failed.reason);
    } else if (counts.length > 0) {
      observers.log.succeeded('delete');
      observers.recorder.count('deletes');
    }
    return { removed, confirmed: !failed };
  }

  /** Voids the entries with a tag, or all of a namespace, or makes them stale. @returns whether confirmed */
  async invalidate(
    space: CacheSpace,
    target: InvalidationTarget,
    mode: 'delete' | 'expire',
    timeoutMs: number,
  ): Promise<boolean> {
    const { remote, observers } = this.core;
    this.signal(space, target);
    const results = await Promise.allSettled(
      space.buckets.map((bucket) => remote.invalidate(bucket, target, mode, timeoutMs)),
    );
    this.signal(space, target);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) {
      noteFailure(observers, 'invalidate', 'invalidationFailures', failed.reason);
      return false;
    }
    observers.log.succeeded('invalidate');
    observers.recorder.count('invalidations');
    return true;
  }

  /** This process must not answer from what it knew before. */
  touch(key: string): void {
    this.core.flights.void(key);
    this.core.memory?.changed(key);
  }

  private signal(space: CacheSpace, target: InvalidationTarget): void {
    const { flights, memory, states } = this.core;
    for (const bucket of space.buckets) {
      flights.voidUnder(bucket.start);
      const signals = target === 'all' ? [bucket.all] : target.map((tag) => bucket.tag(tag));
      for (const signal of signals) {
        memory?.signalled(signal);
        states?.signalled(signal);
      }
    }
  }
}

/** Before Redis 7 it is said in the midst of an error of the script. */
function isOutOfMemory(error: unknown): boolean {
  return error instanceof RedisCommandError && /\bOOM\b/.test(error.message);
}

function isPromise(value: EncodedValue | Promise<EncodedValue>): value is Promise<EncodedValue> {
  return typeof (value as Promise<EncodedValue>).then === 'function';
}
