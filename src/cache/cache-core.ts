import { isRednestError } from '../common/index.js';
import type { WakeUpChannel } from '../redis/index.js';
import type { Bucket, CacheSpace } from './cache-key.js';
import type { CacheLog, CacheOperation } from './cache-log.js';
import type { CacheCounters, CacheRecorder } from './cache-recorder.js';
import { StoredEntry } from './entry-format.js';
import type { Flights } from './flights.js';
import type { LocalStates } from './local-states.js';
import type { MemoryCopy, MemoryTier, ReadTicket } from './memory-tier.js';
import type { PendingWrites } from './pending-writes.js';
import type { RemoteTier } from './remote-tier.js';
import type { ValueCodec } from './value-codec.js';

/** What every cache operation reports to. */
export interface CacheObservers {
  readonly recorder: CacheRecorder;
  readonly log: CacheLog;
}

/** What the caches of one module share. */
export interface CacheCore {
  readonly remote: RemoteTier;
  /** Absent when the module keeps no copies. */
  readonly memory: MemoryTier | undefined;
  /** Present when tags are checked by the process. */
  readonly states: LocalStates | undefined;
  readonly flights: Flights;
  readonly writes: PendingWrites;
  readonly wakeUps: WakeUpChannel;
  readonly observers: CacheObservers;
}

/** One cache: a namespace, and how its values are written. */
export interface CacheView {
  readonly space: CacheSpace;
  readonly codec: ValueCodec;
  readonly version: number;
}

/** Where an entry is. */
export interface EntryPlace {
  readonly view: CacheView;
  readonly bucket: Bucket;
  /** Key in Redis. */
  readonly key: string;
}

/** A value that was found, with what is known about it. */
export interface FoundValue {
  readonly value: unknown;
  /** Microseconds of the server's clock: stamp, end of freshness. */
  readonly stampUs: number;
  readonly softUs: number;
  /** Microseconds since the end of freshness; negative while fresh. */
  readonly staleForUs: number;
  readonly loadMs: number;
  readonly tags: readonly string[];
  readonly tier: 'memory' | 'redis';
  readonly etag?: string | undefined;
  readonly lastModified?: number | undefined;
}

/** Counts a call that failed for Redis' sake. */
export function noteFailure(
  observers: CacheObservers,
  operation: CacheOperation,
  counter: keyof CacheCounters,
  error: unknown,
): void {
  observers.log.failed(operation, isRednestError(error) ? error.code : 'ERR_UNKNOWN');
  observers.recorder.count(counter);
}

/** A copy that may be kept, or confirmed, with what the server answered. */
export interface CopyOrder {
  readonly ticket: ReadTicket;
  readonly isUnchanged: boolean;
  readonly before?: MemoryCopy | undefined;
}

/**
 * Reads what the server answered; keeps a copy in memory when that is allowed.
 *
 * @returns a promise only for a value that is compressed: reads are many, and each promise costs
 */
export function receive(
  core: CacheCore,
  place: EntryPlace,
  nowUs: number,
  entry: Buffer | 'same' | undefined,
  copy?: CopyOrder,
): FoundValue | undefined | Promise<FoundValue | undefined> {
  if (entry === undefined) {
    core.memory?.drop(place.key);
    return undefined;
  }
  if (entry === 'same') return confirmCopy(core, nowUs, copy);
  const stored = StoredEntry.parse(entry);
  if (!stored) return noteCorrupt(core.observers);
  if (stored.version !== place.view.version) return undefined;
  try {
    const value = place.view.codec.decode(stored.flags, stored.bytes);
    if (!(value instanceof Promise)) return finish(core, place, nowUs, stored, value, copy);
    return value.then(
      (decoded: unknown) => finish(core, place, nowUs, stored, decoded, copy),
      () => noteCorrupt(core.observers),
    );
  } catch {
    return noteCorrupt(core.observers);
  }
}

function finish(
  core: CacheCore,
  place: EntryPlace,
  nowUs: number,
  stored: StoredEntry,
  value: unknown,
  copy: CopyOrder | undefined,
): FoundValue | undefined {
  if (value === undefined) return noteCorrupt(core.observers);
  if (copy && core.memory) {
    const signals = signalsOf(place.bucket, stored.tags);
    core.memory.keep(copy.ticket, value, stored, { nowUs, signals, isSuspect: !copy.isUnchanged });
  }
  return new StoredValue(value, stored, nowUs);
}

/** A value from Redis. What is stored beside it is read when somebody asks, which is rare. */
class StoredValue implements FoundValue {
  readonly tier = 'redis';
  readonly softUs: number;
  readonly staleForUs: number;

  constructor(
    readonly value: unknown,
    private readonly stored: StoredEntry,
    nowUs: number,
  ) {
    this.softUs = stored.softUs;
    this.staleForUs = nowUs - this.softUs;
  }

  get stampUs(): number {
    return this.stored.stampUs;
  }

  get loadMs(): number {
    return this.stored.loadMs;
  }

  get tags(): readonly string[] {
    return this.stored.tags;
  }

  get etag(): string | undefined {
    return this.stored.validators.etag;
  }

  get lastModified(): number | undefined {
    return this.stored.validators.lastModified;
  }
}

/** Signals that void a copy of an entry of this bucket with these tags. */
export function signalsOf(bucket: Bucket, tags: readonly string[]): readonly string[] {
  return tags.length === 0 ? bucket.everything : [bucket.all, ...tags.map((tag) => bucket.tag(tag))];
}

/** A copy as a found value. */
export function foundInMemory(copy: MemoryCopy): FoundValue {
  const { value, entry } = copy;
  const { stampUs, softUs, loadMs, tags } = entry;
  const staleForUs = (performance.now() - copy.softAtMs) * 1000;
  return { value, stampUs, softUs, staleForUs, loadMs, tags, tier: 'memory' };
}

function confirmCopy(core: CacheCore, nowUs: number, copy: CopyOrder | undefined): FoundValue | undefined {
  if (!copy?.before || !core.memory) return undefined;
  const confirmed = core.memory.confirm(copy.ticket, copy.before, nowUs, !copy.isUnchanged);
  return foundInMemory(confirmed);
}

function noteCorrupt(observers: CacheObservers): undefined {
  observers.recorder.count('corrupt');
  observers.log.faulty('corrupt');
  return undefined;
}
