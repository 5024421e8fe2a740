import { systemClock, type Clock } from '../common/index.js';

/** The part of Nest's logger the cache uses. */
export interface CacheLogger {
  log(message: string): void;
  warn(message: string): void;
}

/** Kind of call to Redis; each fails and recovers on its own (a full server refuses writes only). */
export type CacheOperation = 'read' | 'write' | 'delete' | 'invalidate';

/** Something wrong with single entries rather than with the server. */
export type EntryFault = 'corrupt' | 'refused';

interface Outage {
  readonly sinceMs: number;
  lastFailureMs: number;
  lastLineMs: number;
  count: number;
}

/** Interval of the summary lines while a fault lasts, in milliseconds. */
const SUMMARY_EVERY_MS = 30_000;
/** Time without a failure after which an operation counts as recovered, in milliseconds. */
const QUIET_MS = 2_000;

const CONSEQUENCE: Readonly<Record<CacheOperation, string>> = Object.freeze({
  read: 'values come from their loaders',
  write: 'values are not kept',
  delete: 'old values may be served until their time to live ends',
  invalidate: 'old values may be served until their time to live ends',
});

const FAULT_TEXT: Readonly<Record<EntryFault, string>> = Object.freeze({
  corrupt: 'entries were not written by this cache or cannot be decoded; they count as misses',
  refused: 'loaded values were not cached because the codec refuses them',
});

/**
 * Writes the changes of state of the cache, not its calls: one line when an operation begins to
 * fail, a summary every 30 s while it does, one line when it works again.
 */
export class CacheLog {
  private readonly outages = new Map<CacheOperation, Outage>();
  private readonly faults = new Map<EntryFault, { lastLineMs: number; count: number }>();

  constructor(
    private readonly logger: CacheLogger,
    private readonly clock: Clock = systemClock,
  ) {}

  /** Notes a call that failed with this error code. */
  failed(operation: CacheOperation, code: string): void {
    const nowMs = this.clock.monotonicMs();
    const outage = this.outages.get(operation);
    if (!outage) {
      this.outages.set(operation, { sinceMs: nowMs, lastFailureMs: nowMs, lastLineMs: nowMs, count: 1 });
      this.logger.warn(`Cache ${operation} fails (${code}): ${CONSEQUENCE[operation]}`);
      return;
    }
    outage.count += 1;
    outage.lastFailureMs = nowMs;
    if (nowMs - outage.lastLineMs < SUMMARY_EVERY_MS) return;
    outage.lastLineMs = nowMs;
    this.logger.warn(`Cache ${operation} still fails (${code}): ${summary(outage, nowMs)}`);
  }

  /** Notes a call that Redis answered. */
  succeeded(operation: CacheOperation): void {
    if (this.outages.size === 0) return;
    const outage = this.outages.get(operation);
    const nowMs = this.clock.monotonicMs();
    // A server that answers every other call has not recovered; two lines per call would say so.
    if (!outage || nowMs - outage.lastFailureMs < QUIET_MS) return;
    this.outages.delete(operation);
    this.logger.log(`Cache ${operation} works again: ${summary(outage, nowMs)}`);
  }

  /** Notes an entry that could not be read or written for its own sake; at most one line in 30 s. */
  faulty(fault: EntryFault): void {
    const nowMs = this.clock.monotonicMs();
    const seen = this.faults.get(fault) ?? { lastLineMs: -Infinity, count: 0 };
    this.faults.set(fault, seen);
    seen.count += 1;
    if (nowMs - seen.lastLineMs < SUMMARY_EVERY_MS) return;
    this.logger.warn(`${seen.count} ${FAULT_TEXT[fault]}`);
    seen.lastLineMs = nowMs;
    seen.count = 0;
  }
}

function summary({ count, sinceMs }: Outage, nowMs: number): string {
  return `${count} failed in ${((nowMs - sinceMs) / 1000).toFixed(1)} s`;
}
