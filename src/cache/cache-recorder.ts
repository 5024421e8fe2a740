import { DIAGNOSTICS, DiagnosticsPublisher, type CacheDiagnostic } from '../common/index.js';

/** Numbers since the application started, over all namespaces of one `CacheModule`. */
export interface CacheCounters {
  /** Reads that found a fresh value. */
  readonly hits: number;
  /** Hits of {@link hits} that were answered from the memory of the process. */
  readonly memoryHits: number;
  /** Reads that found nothing fresh. */
  readonly misses: number;
  /** Stale values answered: while a load ran, or because it failed or was late, or Redis was slow. */
  readonly staleHits: number;
  /** Reads that Redis failed to answer in time; they behave as misses and are not counted as such. */
  readonly readFailures: number;
  /** Misses where something was stored that is not an entry, or cannot be decoded. */
  readonly corrupt: number;
  /** Loaders called. */
  readonly loads: number;
  /** Loaders that failed. */
  readonly loadFailures: number;
  /** Waits for the load of another process. */
  readonly waits: number;
  /** Entries written and confirmed. */
  readonly writes: number;
  /** Writes that were not confirmed, and loaded values the codec refused. */
  readonly writeFailures: number;
  /** Loaded values that were not kept because their key or a tag changed during the load. */
  readonly discardedWrites: number;
  /** Delete and expire calls that were confirmed. */
  readonly deletes: number;
  /** Those that were not: old values may be served until their time to live ends. */
  readonly deleteFailures: number;
  /** Invalidations by tag and clears that were confirmed. */
  readonly invalidations: number;
  /** Those that were not. */
  readonly invalidationFailures: number;
}

type Counts = { -readonly [Name in keyof CacheCounters]: number };

const EVENTS: Readonly<Partial<Record<keyof CacheCounters, CacheDiagnostic['event']>>> = Object.freeze({
  hits: 'hit',
  misses: 'miss',
  staleHits: 'stale',
  readFailures: 'bypass',
  corrupt: 'corrupt',
  loads: 'load',
  loadFailures: 'load-error',
  waits: 'wait',
  writes: 'write',
  writeFailures: 'write-failed',
  discardedWrites: 'discard',
  deletes: 'delete',
  deleteFailures: 'delete-failed',
  invalidations: 'invalidate',
  invalidationFailures: 'invalidate-failed',
});

/** Counts what happens and publishes it to {@link DIAGNOSTICS.cache}. */
export class CacheRecorder {
  private readonly diagnostics = new DiagnosticsPublisher<CacheDiagnostic>(DIAGNOSTICS.cache);
  private readonly counts: Counts = {
    hits: 0,
    memoryHits: 0,
    misses: 0,
    staleHits: 0,
    readFailures: 0,
    corrupt: 0,
    loads: 0,
    loadFailures: 0,
    waits: 0,
    writes: 0,
    writeFailures: 0,
    discardedWrites: 0,
    deletes: 0,
    deleteFailures: 0,
    invalidations: 0,
    invalidationFailures: 0,
  };

  /** Adds one. */
  count(name: keyof CacheCounters): void {
    this.counts[name] += 1;
    const event = EVENTS[name];
    if (event && this.diagnostics.isHeard) this.diagnostics.publish(() => ({ event }));
  }

  /** Adds one hit in memory. Names that the compiler knows are found sooner, which such a hit is too short not to notice. */
  countMemoryHit(): void {
    this.counts.hits += 1;
    this.counts.memoryHits += 1;
    if (this.diagnostics.isHeard) this.diagnostics.publish(() => ({ event: 'hit' }));
  }

  /** Adds a number of the same kind; one message for all. */
  add(name: keyof CacheCounters, number: number): void {
    if (number === 0) return;
    this.count(name);
    this.counts[name] += number - 1;
  }

  /** The numbers as they are now. */
  snapshot(): CacheCounters {
    return { ...this.counts };
  }
}
