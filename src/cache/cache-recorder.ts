import { DIAGNOSTICS, DiagnosticsPublisher, type CacheDiagnostic } from '../common/index.js';

/** Numbers since the application started, over all namespaces of one `CacheModule`. */
export interface CacheCounters {
  /** Reads that found a value. */
  readonly hits: number;
  /** Reads that found nothing usable. */
  readonly misses: number;
  /** Reads that Redis failed to answer in time; they behave as misses and are not counted as such. */
  readonly readFailures: number;
  /** Misses where something was stored that is not an entry, or cannot be decoded. */
  readonly corrupt: number;
  /** Loaders called. */
  readonly loads: number;
  /** Loaders that failed. */
  readonly loadFailures: number;
  /** Entries written and confirmed. */
  readonly writes: number;
  /** Writes that were not confirmed, and loaded values the codec refused. */
  readonly writeFailures: number;
  /** Loaded values that were not written because the key was set or deleted during the load. */
  readonly discardedWrites: number;
  /** Delete calls that were confirmed. */
  readonly deletes: number;
  /** Delete calls that were not: old values may be served until their time to live ends. */
  readonly deleteFailures: number;
}

type Counts = { -readonly [Name in keyof CacheCounters]: number };

const EVENTS: Readonly<Partial<Record<keyof CacheCounters, CacheDiagnostic['event']>>> = Object.freeze({
  hits: 'hit',
  misses: 'miss',
  readFailures: 'bypass',
  corrupt: 'corrupt',
  loads: 'load',
  loadFailures: 'load-error',
  writes: 'write',
  writeFailures: 'write-failed',
  deletes: 'delete',
  deleteFailures: 'delete-failed',
});

/** Counts what happens and publishes it to {@link DIAGNOSTICS.cache}. */
export class CacheRecorder {
  private readonly diagnostics = new DiagnosticsPublisher<CacheDiagnostic>(DIAGNOSTICS.cache);
  private readonly counts: Counts = {
    hits: 0,
    misses: 0,
    readFailures: 0,
    corrupt: 0,
    loads: 0,
    loadFailures: 0,
    writes: 0,
    writeFailures: 0,
    discardedWrites: 0,
    deletes: 0,
    deleteFailures: 0,
  };

  /** Adds one. */
  count(name: keyof CacheCounters): void {
    this.counts[name] += 1;
    const event = EVENTS[name];
    if (event) this.diagnostics.publish(() => ({ event }));
  }

  /** The numbers as they are now. */
  snapshot(): CacheCounters {
    return { ...this.counts };
  }
}
