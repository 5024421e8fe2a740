import { LRUCache } from 'lru-cache';
import type { ChangeListener } from './change-listener.js';
import { freezeDeep } from './freeze-deep.js';
import type { ResolvedMemoryOptions } from './cache.options.js';
import type { EntryValidators, StoredEntry } from './entry-format.js';
import type { ValueCodec } from './value-codec.js';

/** How a cache reads its values: what it decoded is of no use to one that reads in another way. */
export interface CopyReader {
  readonly version: number;
  readonly codec: ValueCodec;
}

/** A value in the memory of the process. */
export interface MemoryCopy {
  readonly value: unknown;
  readonly entry: CopiedEntry;
  readonly reader: CopyReader;
  /** Monotonic time until which it is served without asking the server, in milliseconds. */
  readonly trustedUntilMs: number;
  /** Monotonic end of freshness and of life, in milliseconds. */
  readonly softAtMs: number;
  readonly hardAtMs: number;
  /** Changes seen before the entry was read; what changed later is newer than the copy. */
  seq: number;
  /** Signals that void the copy: of its tags and of its bucket. */
  readonly signals: readonly string[];
  /** The key changed: the server has to be asked whether the copy is still right. */
  isSuspect: boolean;
  /** Arming of the coherence under which it was read. */
  readonly arming: number;
}

/** What is kept of an entry beside its value. */
export interface CopiedEntry {
  readonly mark: Buffer;
  readonly stampUs: number;
  readonly softUs: number;
  readonly loadMs: number;
  readonly tags: readonly string[];
  readonly validators: EntryValidators;
}

/** What a copy is kept with. */
export interface CopyContext {
  /** The server's clock with the answer. */
  readonly nowUs: number;
  readonly signals: readonly string[];
  readonly reader: CopyReader;
  /** Bytes of the entry, its value decompressed. */
  readonly size: number;
}

/** A read on its way: what arrives may be kept only if nothing changed meanwhile. */
export interface ReadTicket {
  readonly key: string;
  readonly seq: number;
  readonly arming: number;
  /** Monotonic time at which the read was sent, in milliseconds. */
  readonly sentAtMs: number;
}

/** Reads of one key on their way. */
interface PendingReads {
  count: number;
  changedSeq: number;
}

/** Bytes of a copy beside its value, roughly. */
const OVERHEAD_BYTES = 300;

/**
 * Copies in the memory of the process, bounded by number and bytes. A copy is served only while the
 * process hears of changes; the two connections are not in step, so a read that was on its way when its
 * key changed is not kept.
 */
export class MemoryTier implements ChangeListener {
  private readonly copies: LRUCache<string, MemoryCopy>;
  private readonly pending = new Map<string, PendingReads>();
  private readonly signals = new Map<string, number>();
  private seq = 0;
  private lastSignalSeq = 0;
  private arming = 0;
  private armed = false;
  private signalsFrom = 0;

  constructor(private readonly options: ResolvedMemoryOptions) {
    this.copies = new LRUCache({ max: options.maxEntries, maxSize: options.maxBytes });
  }

  /** Copies kept now. */
  get size(): number {
    return this.copies.size;
  }

  /** Bytes they take, roughly. */
  get bytes(): number {
    return this.copies.calculatedSize;
  }

  /** Whether changes are heard of, so that copies may be served. */
  get isArmed(): boolean {
    return this.armed;
  }

  /** The copy that may be served now. */
  fresh(key: string, reader: CopyReader): MemoryCopy | undefined {
    if (!this.armed) return undefined;
    const copy = this.copyFor(key, reader);
    if (copy === undefined || copy.isSuspect || copy.arming !== this.arming) return undefined;
    if (copy.trustedUntilMs <= performance.now()) return undefined;
    return copy.seq >= this.lastSignalSeq || this.survives(copy) ? copy : undefined;
  }

  /** The copy whether or not it may be served: to be compared with the server, or to fall back on. */
  find(key: string, reader: CopyReader): MemoryCopy | undefined {
    const copy = this.copyFor(key, reader);
    if (copy === undefined) return undefined;
    if (copy.hardAtMs > performance.now() && this.survives(copy)) return copy;
    this.copies.delete(key);
    return undefined;
  }

  /** Announces a read or write that is about to be sent. Every ticket must be handed back. */
  begin(key: string): ReadTicket {
    const reads = this.pending.get(key);
    if (reads) reads.count += 1;
    else this.pending.set(key, { count: 1, changedSeq: 0 });
    return { key, seq: this.seq, arming: this.arming, sentAtMs: performance.now() };
  }

  /** Hands a ticket back. @returns whether the key did not change since */
  end(ticket: ReadTicket): boolean {
    const reads = this.pending.get(ticket.key);
    if (!reads) return false;
    reads.count -= 1;
    if (reads.count === 0) this.pending.delete(ticket.key);
    return reads.changedSeq <= ticket.seq;
  }

  /**
   * Hands a ticket back, and keeps a copy of what was read with it. Both at once: a change that is heard of
   * between them would go unnoticed.
   */
  keep(ticket: ReadTicket, value: unknown, entry: StoredEntry, context: CopyContext): void {
    const { nowUs, signals, reader, size } = context;
    const isSuspect = !this.end(ticket);
    // Counted from the time of sending, so that a copy never outlives its entry.
    const softAtMs = ticket.sentAtMs + (entry.softUs - nowUs) / 1000;
    this.copies.set(
      ticket.key,
      {
        value: this.options.freeze ? freezeDeep(value) : value,
        reader: { version: reader.version, codec: reader.codec },
        entry: {
          mark: entry.mark,
          stampUs: entry.stampUs,
          softUs: entry.softUs,
          loadMs: entry.loadMs,
          tags: entry.tags,
          validators: entry.validators,
        },
        softAtMs,
        hardAtMs: ticket.sentAtMs + (entry.hardUs - nowUs) / 1000,
        trustedUntilMs: Math.min(softAtMs, ticket.sentAtMs + this.options.ttlMs),
        seq: ticket.seq,
        signals,
        isSuspect,
        arming: ticket.arming,
      },
      { size: size + OVERHEAD_BYTES },
    );
  }

  /** Hands a ticket back: the server says that the copy is still right. */
  confirm(ticket: ReadTicket, copy: MemoryCopy, nowUs: number): MemoryCopy {
    const isSuspect = !this.end(ticket);
    const softAtMs = ticket.sentAtMs + (copy.entry.softUs - nowUs) / 1000;
    const confirmed: MemoryCopy = {
      ...copy,
      softAtMs,
      hardAtMs: copy.hardAtMs,
      trustedUntilMs: Math.min(softAtMs, ticket.sentAtMs + this.options.ttlMs),
      seq: ticket.seq,
      arming: ticket.arming,
      isSuspect,
    };
    const size = this.copies.info(ticket.key)?.size ?? OVERHEAD_BYTES;
    this.copies.set(ticket.key, confirmed, { size });
    return confirmed;
  }

  /** Forgets a copy. */
  drop(key: string): void {
    this.copies.delete(key);
  }

  /** A key or signal changed somewhere. */
  changed(key: string): void {
    this.seq += 1;
    const reads = this.pending.get(key);
    if (reads) reads.changedSeq = this.seq;
    const copy = this.copies.peek(key);
    if (copy) copy.isSuspect = true;
  }

  /** Copies under a signal are void. */
  signalled(signal: string): void {
    this.seq += 1;
    this.lastSignalSeq = this.seq;
    if (this.signals.size >= MAX_SIGNALS) {
      this.signals.clear();
      this.signalsFrom = this.seq;
    }
    this.signals.set(signal, this.seq);
  }

  /** Changes are heard of from now on. What is kept has to be compared with the server before it is served. */
  arm(): void {
    this.arming += 1;
    this.armed = true;
  }

  /** Changes may go unheard from now on. */
  disarm(): void {
    this.armed = false;
    this.arming += 1;
  }

  /** Everything may have changed. */
  suspectAll(): void {
    this.arming += 1;
  }

  private copyFor(key: string, { version, codec }: CopyReader): MemoryCopy | undefined {
    const copy = this.copies.get(key);
    return copy?.reader.version === version && copy.reader.codec === codec ? copy : undefined;
  }

  private survives(copy: MemoryCopy): boolean {
    if (copy.seq < this.signalsFrom) return false;
    for (const signal of copy.signals) if ((this.signals.get(signal) ?? 0) > copy.seq) return false;
    copy.seq = Math.max(copy.seq, this.lastSignalSeq);
    return true;
  }
}

/** Signals remembered one by one; beyond that all older copies are void. */
const MAX_SIGNALS = 10_000;
