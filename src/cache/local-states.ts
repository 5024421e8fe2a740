import { bucketPrefix, kindOf, type Bucket } from './cache-key.js';
import type { ChangeListener } from './change-listener.js';
import type { StoredEntry } from './entry-format.js';
import type { RemoteTier } from './remote-tier.js';

/** Fields of a state that is copied at most. */
const MAX_FIELDS = 5_000;
/** After this long a copy is fetched anew: clocks run apart. In milliseconds. */
const RENEW_MS = 5_000;
/** How long a state that is too large to be copied is left alone, in milliseconds. */
const TOO_LARGE_MS = 30_000;
/** Signals whose tags were not read again; after so many the state is. */
const MAX_UNSURE = 1_000;

/** What the copy of a state says about an entry; `unsure`: only the server knows. */
export type Judgement = 'void' | 'stale' | 'as-written' | 'unsure';

/** Copy of the state of a bucket: what was invalidated, and when, by the server's clock. */
export class LocalState {
  /** Signals of tags that were invalidated since they were copied, each with its number. */
  private readonly unsure = new Map<string, number>();
  private readonly learning = new Set<string>();
  private heard = 0;

  constructor(
    private readonly fields: Map<string, string>,
    /** What to add to the monotonic clock to be at, or a little after, the server's, in microseconds. */
    private readonly offsetUs: number,
    /** Monotonic time at which it was asked for, in milliseconds. */
    readonly takenAtMs: number,
  ) {}

  /** The server's clock now, early by nothing and late by the way of one message at most. */
  get nowUs(): number {
    return performance.now() * 1000 + this.offsetUs;
  }

  /** Whether more has changed than is worth to be learned one by one. */
  get isWorn(): boolean {
    return this.unsure.size > MAX_UNSURE;
  }

  /** A tag was invalidated: what is copied of it no longer counts. */
  signalled(signal: string): void {
    this.heard += 1;
    this.unsure.set(signal, this.heard);
  }

  /** Tags of an entry that were invalidated since they were copied. */
  unsureTags(bucket: Bucket, tags: readonly string[]): readonly string[] {
    return this.unsure.size === 0 ? [] : tags.filter((tag) => this.unsure.has(bucket.tag(tag)));
  }

  /** Reads the field of a tag again, once at a time; what is heard meanwhile is newer than the answer. */
  async learn(signal: string, field: string, read: () => Promise<string | null | undefined>): Promise<void> {
    if (this.learning.has(signal)) return;
    const number = this.unsure.get(signal);
    this.learning.add(signal);
    try {
      const value = await read();
      // Another server's word; the copy will not be asked any more.
      if (value === undefined) return;
      if (value !== null) this.fields.set(field, value);
      if (this.unsure.get(signal) === number) this.unsure.delete(signal);
    } finally {
      this.learning.delete(signal);
    }
  }

  /** Whether an entry without unsure tags may be used: `void`, `stale`, or as fresh as it says. */
  judge(entry: StoredEntry): Judgement {
    const { stampUs } = entry;
    const birth = this.fields.get('e');
    if (birth === undefined || stampUs < Number(birth)) return 'void';
    let isStale = false;
    for (const field of ['*', ...entry.tags.map(fieldOf)]) {
      const [deleted = '0', expired = '0'] = this.fields.get(field)?.split(':') ?? [];
      if (stampUs <= Number(deleted)) return 'void';
      if (stampUs <= Number(expired)) isStale = true;
    }
    return isStale ? 'stale' : 'as-written';
  }
}

/**
 * Copies of the states of buckets, kept right by the server's word, so that an entry can be read with a plain
 * GET and checked here. There is none while changes are not heard of; the server checks then, as it does for
 * an entry with a tag that was invalidated until the field of that tag was read again.
 */
export class LocalStates implements ChangeListener {
  /** By what the keys of their buckets begin with. */
  private readonly states = new Map<string, LocalState>();
  /** Monotonic times until which buckets are not copied, in milliseconds. */
  private readonly tooLargeUntilMs = new Map<string, number>();
  /** States that are on their way, with the signals heard since they were asked for. */
  private readonly loading = new Map<string, Set<string>>();
  private armed = false;
  private seq = 0;

  constructor(private readonly remote: () => RemoteTier) {}

  /** The copy, if there is one that is right; otherwise one is fetched for later. */
  of(bucket: Bucket): LocalState | undefined {
    if (!this.armed) return undefined;
    const state = this.states.get(bucket.start);
    if (!this.loading.has(bucket.start) && this.isDue(bucket, state)) void this.load(bucket);
    return state;
  }

  /** What the copy says about an entry; what it is unsure about is learned for later. */
  judge(bucket: Bucket, state: LocalState, entry: StoredEntry): Judgement {
    const unsure = state.unsureTags(bucket, entry.tags);
    if (unsure.length === 0) return state.judge(entry);
    for (const tag of unsure) {
      const read = (): Promise<string | null | undefined> => this.remote().stateField(bucket, fieldOf(tag));
      // The server goes on checking, if it can.
      void state.learn(bucket.tag(tag), fieldOf(tag), read).catch(() => undefined);
    }
    return 'unsure';
  }

  arm(): void {
    this.armed = true;
    this.suspectAll();
  }

  disarm(): void {
    this.armed = false;
    this.suspectAll();
  }

  suspectAll(): void {
    this.seq += 1;
    this.states.clear();
  }

  changed(): void {
    // Entries are read from the server; only what voids them is copied.
  }

  signalled(signal: string): void {
    const start = bucketPrefix(signal);
    this.loading.get(start)?.add(signal);
    const state = this.states.get(start);
    state?.signalled(signal);
    if (state?.isWorn || kindOf(signal) === 'all') this.states.delete(start);
  }

  private isDue(bucket: Bucket, state: LocalState | undefined): boolean {
    const nowMs = performance.now();
    if (state) return nowMs - state.takenAtMs >= RENEW_MS;
    return nowMs >= (this.tooLargeUntilMs.get(bucket.start) ?? 0);
  }

  private async load(bucket: Bucket): Promise<void> {
    const { seq } = this;
    const { start } = bucket;
    const sentAtMs = performance.now();
    const heard = new Set<string>();
    this.loading.set(start, heard);
    try {
      const { nowUs, fields } = await this.remote().state(bucket, MAX_FIELDS);
      if (fields.size === 0) {
        this.states.delete(start);
        this.tooLargeUntilMs.set(start, sentAtMs + TOO_LARGE_MS);
      } else if (seq === this.seq && ![...heard].some((signal) => kindOf(signal) === 'all')) {
        const state = new LocalState(fields, nowUs - sentAtMs * 1000, sentAtMs);
        for (const signal of heard) state.signalled(signal);
        this.states.set(start, state);
      }
    } catch {
      // The server checks, if it can.
    } finally {
      this.loading.delete(start);
    }
  }
}

/** Field of a tag in the state. */
function fieldOf(tag: string): string {
  return `t:${tag}`;
}
