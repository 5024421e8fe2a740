import { isRednestError } from '../common/index.js';
import type { WakeUpChannel } from '../redis/index.js';
import type { Bucket, CacheSpace } from './cache-key.js';
import type { CacheLog, CacheOperation } from './cache-log.js';
import type { CacheCounters, CacheRecorder } from './cache-recorder.js';
import { StoredEntry, type EntryValidators } from './entry-format.js';
import type { Flights } from './flights.js';
import type { LocalStates } from './local-states.js';
import type { CopyContext, MemoryCopy, MemoryTier, ReadTicket } from './memory-tier.js';
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

/** Where an entry is, and what callers call it. A class for the reason of `listOf`. */
export class NamedPlace implements EntryPlace {
  constructor(
    readonly view: CacheView,
    readonly id: string,
    readonly bucket: Bucket,
    readonly key: string,
  ) {}
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
  readonly before?: MemoryCopy | undefined;
}

/**
 * Reads what the server answered; keeps a copy in memory when that is allowed. The ticket is handed back
 * here, in every case.
 *
 * @returns a promise only for a value that is compressed: reads are many, and each promise costs. It does
 * not reject
 */
export function receive(
  core: CacheCore,
  place: EntryPlace,
  nowUs: number,
  entry: Buffer | 'same' | undefined,
  copy?: CopyOrder,
): FoundValue | undefined | Promise<FoundValue | undefined> {
  if (entry === 'same') return confirmCopy(core, nowUs, copy);
  if (entry === undefined) core.memory?.drop(place.key);
  const decoded = entry && decode(core, place, nowUs, entry);
  if (!(decoded instanceof Promise)) return settle(core, decoded, copy);
  return decoded.then(
    (found) => settle(core, found, copy),
    () => settle(core, noteCorrupt(core.observers), copy),
  );
}

function decode(
  core: CacheCore,
  place: EntryPlace,
  nowUs: number,
  raw: Buffer,
): StoredValue | undefined | Promise<StoredValue | undefined> {
  try {
    const stored = StoredEntry.parse(raw);
    if (!stored) return noteCorrupt(core.observers);
    if (stored.version !== place.view.version) return undefined;
    const { codec } = place.view;
    const { flags, bytes } = stored;
    const read = (plain: Buffer): StoredValue | undefined => {
      const value = codec.decode(flags, plain);
      if (value === undefined) return noteCorrupt(core.observers);
      const signals = signalsOf(place.bucket, stored.tags);
      const size = stored.size - bytes.length + plain.length;
      return new StoredValue(value, stored, { nowUs, signals, reader: place.view, size });
    };
    const plain = codec.decompress(flags, bytes);
    return plain instanceof Promise ? plain.then(read) : read(plain);
  } catch {
    return noteCorrupt(core.observers);
  }
}

function settle(
  core: CacheCore,
  found: StoredValue | undefined,
  copy: CopyOrder | undefined,
): FoundValue | undefined {
  if (!copy || !core.memory) return found;
  if (!found) {
    core.memory.end(copy.ticket);
    return undefined;
  }
  try {
    core.memory.keep(copy.ticket, found.value, found.stored, found.context);
  } catch {
    // Too deep to be frozen: it is answered, and not kept.
  }
  return found;
}

/** A value from Redis. Most of what is stored beside it is read when somebody asks, which is rare. */
class StoredValue implements FoundValue {
  readonly tier = 'redis';
  private readonly validators: EntryValidators;
  readonly softUs: number;
  readonly staleForUs: number;

  constructor(
    readonly value: unknown,
    readonly stored: StoredEntry,
    readonly context: CopyContext,
  ) {
    // Read at once, because they may be unreadable, and a caller of this has no use for an error.
    this.validators = stored.validators;
    this.softUs = stored.softUs;
    this.staleForUs = context.nowUs - this.softUs;
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
    return this.validators.etag;
  }

  get lastModified(): number | undefined {
    return this.validators.lastModified;
  }
}

/** Signals that void a copy of an entry of this bucket with these tags. */
export function signalsOf(bucket: Bucket, tags: readonly string[]): readonly string[] {
  return tags.length === 0 ? bucket.everything : [bucket.all, ...tags.map((tag) => bucket.tag(tag))];
}

/** A copy as a found value. */
export function foundInMemory(copy: MemoryCopy): FoundValue {
  const { value, entry } = copy;
  const { stampUs, softUs, loadMs, tags, validators } = entry;
  const { etag, lastModified } = validators;
  const staleForUs = (performance.now() - copy.softAtMs) * 1000;
  return { value, stampUs, softUs, staleForUs, loadMs, tags, tier: 'memory', etag, lastModified };
}

function confirmCopy(core: CacheCore, nowUs: number, copy: CopyOrder | undefined): FoundValue | undefined {
  // Without a copy no mark was sent, and the server does not answer this.
  if (!copy?.before || !core.memory) return undefined;
  return foundInMemory(core.memory.confirm(copy.ticket, copy.before, nowUs));
}

function noteCorrupt(observers: CacheObservers): undefined {
  observers.recorder.count('corrupt');
  observers.log.faulty('corrupt');
  return undefined;
}
