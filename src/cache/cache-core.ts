import { isRednestError } from '../common/index.js';
import type { WakeUpChannel } from '../redis/index.js';
import type { Bucket, CacheSpace } from './cache-key.js';
import type { CacheLog, CacheOperation } from './cache-log.js';
import type { CacheCounters, CacheRecorder } from './cache-recorder.js';
import { StoredEntry } from './entry-format.js';
import type { Flights } from './flights.js';
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

/** Reads what the server answered; keeps a copy in memory when that is allowed. */
export async function receive(
  core: CacheCore,
  place: EntryPlace,
  reply: { readonly nowUs: number; readonly entry: Buffer | 'same' | undefined },
  copy?: {
    readonly ticket: ReadTicket;
    readonly isUnchanged: boolean;
    readonly before?: MemoryCopy | undefined;
  },
): Promise<FoundValue | undefined> {
  const { nowUs, entry } = reply;
  if (entry === undefined) {
    core.memory?.drop(place.key);
    return undefined;
  }
  if (entry === 'same') return confirmCopy(core, nowUs, copy);
  const stored = StoredEntry.parse(entry);
  const value = stored && (await decode(place.view, stored));
  if (!stored || !value) {
    if (!stored || stored.version === place.view.version) noteCorrupt(core.observers);
    return undefined;
  }
  if (copy && core.memory) {
    const signals = signalsOf(place.bucket, stored.tags);
    core.memory.keep(copy.ticket, value.value, stored, { nowUs, signals, isSuspect: !copy.isUnchanged });
  }
  return {
    value: value.value,
    stampUs: stored.stampUs,
    softUs: stored.softUs,
    staleForUs: nowUs - stored.softUs,
    loadMs: stored.loadMs,
    tags: stored.tags,
    tier: 'redis',
    ...stored.validators,
  };
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

function confirmCopy(
  core: CacheCore,
  nowUs: number,
  copy: { ticket: ReadTicket; isUnchanged: boolean; before?: MemoryCopy | undefined } | undefined,
): FoundValue | undefined {
  if (!copy?.before || !core.memory) return undefined;
  const confirmed = core.memory.confirm(copy.ticket, copy.before, nowUs, !copy.isUnchanged);
  return foundInMemory(confirmed);
}

async function decode(view: CacheView, stored: StoredEntry): Promise<{ value: unknown } | undefined> {
  if (stored.version !== view.version) return undefined;
  try {
    const value = view.codec.decode(stored.flags, stored.bytes);
    const settled = value instanceof Promise ? ((await value) as unknown) : value;
    return settled === undefined ? undefined : { value: settled };
  } catch {
    return undefined;
  }
}

function noteCorrupt(observers: CacheObservers): void {
  observers.recorder.count('corrupt');
  observers.log.faulty('corrupt');
}
