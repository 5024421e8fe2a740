import type { Bucket } from './cache-key.js';
import type { ChangeListener } from './change-listener.js';
import type { StoredEntry } from './entry-format.js';
import type { RemoteTier } from './remote-tier.js';

/** Fields of a state that is copied at most. */
const MAX_FIELDS = 5_000;
/** After this long a copy is fetched anew: clocks run apart. In milliseconds. */
const RENEW_MS = 5_000;
/** How long a state that is too large to be copied is left alone, in milliseconds. */
const TOO_LARGE_MS = 30_000;

/** Copy of the state of a bucket: what was invalidated, and when, by the server's clock. */
export class LocalState {
  constructor(
    private readonly fields: ReadonlyMap<string, string>,
    /** What to add to the monotonic clock to be at, or a little after, the server's, in microseconds. */
    private readonly offsetUs: number,
    /** Monotonic time at which it was asked for, in milliseconds. */
    readonly takenAtMs: number,
  ) {}

  /** The server's clock now, early by nothing and late by the way of one message at most. */
  get nowUs(): number {
    return performance.now() * 1000 + this.offsetUs;
  }

  /** Whether the entry may be used: `void`, `stale`, or as fresh as it says. */
  judge(entry: StoredEntry): 'void' | 'stale' | 'as-written' {
    const { stampUs } = entry;
    const birth = this.fields.get('e');
    if (birth === undefined || stampUs < Number(birth)) return 'void';
    let isStale = false;
    for (const field of ['*', ...entry.tags.map((tag) => `t:${tag}`)]) {
      const [deleted = '0', expired = '0'] = this.fields.get(field)?.split(':') ?? [];
      if (stampUs <= Number(deleted)) return 'void';
      if (stampUs <= Number(expired)) isStale = true;
    }
    return isStale ? 'stale' : 'as-written';
  }
}

/**
 * Copies of the states of buckets, kept right by the server's word, so that an entry can be read with a plain
 * GET and checked here. There is none while changes are not heard of; the server checks then.
 */
export class LocalStates implements ChangeListener {
  private states = new WeakMap<Bucket, LocalState>();
  /** Monotonic times until which buckets are not copied, in milliseconds. */
  private readonly tooLargeUntilMs = new WeakMap<Bucket, number>();
  private readonly loading = new Set<Bucket>();
  private armed = false;
  private seq = 0;

  constructor(private readonly remote: () => RemoteTier) {}

  /** The copy, if there is one that is right; otherwise one is fetched for later. */
  of(bucket: Bucket): LocalState | undefined {
    if (!this.armed) return undefined;
    const state = this.states.get(bucket);
    if (!this.loading.has(bucket) && this.isDue(bucket, state)) void this.load(bucket);
    return state;
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
    this.states = new WeakMap();
  }

  changed(): void {
    // Entries are read from the server; only what voids them is copied.
  }

  signalled(): void {
    this.suspectAll();
  }

  private isDue(bucket: Bucket, state: LocalState | undefined): boolean {
    const nowMs = performance.now();
    if (state) return nowMs - state.takenAtMs >= RENEW_MS;
    return nowMs >= (this.tooLargeUntilMs.get(bucket) ?? 0);
  }

  private async load(bucket: Bucket): Promise<void> {
    const { seq } = this;
    const sentAtMs = performance.now();
    this.loading.add(bucket);
    try {
      const { nowUs, fields } = await this.remote().state(bucket, MAX_FIELDS);
      if (fields.size === 0) {
        this.states.delete(bucket);
        this.tooLargeUntilMs.set(bucket, sentAtMs + TOO_LARGE_MS);
      } else if (seq === this.seq) {
        this.states.set(bucket, new LocalState(fields, nowUs - sentAtMs * 1000, sentAtMs));
      }
    } catch {
      // The server checks, if it can.
    } finally {
      this.loading.delete(bucket);
    }
  }
}
