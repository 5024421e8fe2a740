import type { Bucket } from './cache-key.js';
import type { ChangeListener } from './change-listener.js';
import type { StoredEntry } from './entry-format.js';
import type { RemoteTier } from './remote-tier.js';

/** Fields of a state that is copied at most. */
const MAX_FIELDS = 5_000;

/** Copy of the state of a bucket: what was invalidated, and when, by the server's clock. */
export class LocalState {
  constructor(
    private readonly fields: ReadonlyMap<string, string>,
    /** What to add to the monotonic clock to be at, or a little after, the server's, in microseconds. */
    private readonly offsetUs: number,
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
  private readonly states = new Map<Bucket, LocalState>();
  private readonly loading = new Set<Bucket>();
  private armed = false;
  private seq = 0;

  constructor(private readonly remote: () => RemoteTier) {}

  /** The copy, if there is one that is right; otherwise one is fetched for later. */
  of(bucket: Bucket): LocalState | undefined {
    if (!this.armed) return undefined;
    const state = this.states.get(bucket);
    if (!state && !this.loading.has(bucket)) void this.load(bucket);
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
    this.states.clear();
  }

  changed(): void {
    // Entries are read from the server; only what voids them is copied.
  }

  signalled(): void {
    this.suspectAll();
  }

  private async load(bucket: Bucket): Promise<void> {
    const { seq } = this;
    const sentAtUs = performance.now() * 1000;
    this.loading.add(bucket);
    try {
      const { nowUs, fields } = await this.remote().state(bucket, MAX_FIELDS);
      if (seq === this.seq && fields.size > 0) {
        this.states.set(bucket, new LocalState(fields, nowUs - sentAtUs));
      }
    } catch {
      // The server checks, if it can.
    } finally {
      this.loading.delete(bucket);
    }
  }
}
