import { randomBytes } from 'node:crypto';
import { noteFailure, type CacheCore } from './cache-core.js';
import type { Bucket } from './cache-key.js';
import type { ResolvedEntryOptions } from './entry.options.js';
import type { Verdict } from './flights.js';
import { UNKEPT, type AfterRelease, type Filling } from './remote-tier.js';

/** Makes tokens that no other load has. None is the beginning of another, which the scripts rely on. */
export class LoadTokens {
  private readonly process = randomBytes(8).toString('hex');
  private count = 0;

  /** A new one. */
  next(): string {
    this.count += 1;
    return `${this.process}.${this.count};`;
  }
}

/** What a {@link Lease} was given for. */
export interface LeaseTerms {
  readonly token: string;
  /** Stamp of the load in microseconds of the server's clock. */
  readonly stampUs: number;
  readonly leaseMs: number;
  readonly timeoutMs: number;
  /** How long it is renewed at most: what loads may hang for ever. */
  readonly heldMs: number;
}

/** How long one load may keep others waiting: nobody waits for longer than this anyway. */
export function longestLoadMs({ hardLoaderMs, waitMs }: ResolvedEntryOptions): number {
  return Math.max(hardLoaderMs, waitMs);
}

/**
 * The right to load entries of one bucket. Renewed while it is held, so that a slow load keeps it and a dead
 * process, or one that hangs, loses it; taken away, key by key, by whoever writes or deletes the entry.
 */
export class Lease {
  private readonly renewal: NodeJS.Timeout;
  private readonly endMs: number;

  constructor(
    private readonly core: CacheCore,
    private readonly bucket: Bucket,
    private readonly keys: readonly string[],
    private readonly terms: LeaseTerms,
  ) {
    this.endMs = performance.now() + terms.heldMs;
    this.renewal = setInterval(() => void this.renew(), Math.max(30, terms.leaseMs / 3));
    this.renewal.unref();
  }

  /** Gives the right back with what was loaded, which is written where it is to be kept. Never rejects. */
  async store(fillings: readonly Filling[]): Promise<readonly Verdict[]> {
    clearInterval(this.renewal);
    const { remote, observers, memory } = this.core;
    const { token, stampUs, timeoutMs } = this.terms;
    const kept = fillings.filter(({ ttlMs }) => ttlMs !== UNKEPT.ttlMs);
    try {
      const isCurrent = await remote.fill(this.bucket, fillings, { token, stampUs }, timeoutMs);
      if (kept.length > 0) observers.log.succeeded('write');
      for (const [index, { ttlMs }] of fillings.entries()) {
        if (ttlMs !== UNKEPT.ttlMs) observers.recorder.count(isCurrent[index] ? 'writes' : 'discardedWrites');
      }
      return isCurrent.map((each) => (each ? 'current' : 'overtaken'));
    } catch (error) {
      // What is not kept is not missed: the right ends by itself.
      if (kept.length > 0) noteFailure(observers, 'write', 'writeFailures', error);
      return fillings.map(() => 'unknown');
    } finally {
      for (const { key } of kept) memory?.changed(key);
    }
  }

  /** Gives the right back without a value. Never rejects. */
  async release(after: AfterRelease): Promise<void> {
    clearInterval(this.renewal);
    const { token, timeoutMs } = this.terms;
    try {
      await this.core.remote.release(this.bucket, this.keys, token, after, timeoutMs);
    } catch {
      // It ends by itself.
    }
  }

  /** A renewal that fails leaves the lease to its end; what is loaded is then refused by the server. */
  private async renew(): Promise<void> {
    const { token, leaseMs } = this.terms;
    if (performance.now() > this.endMs) {
      clearInterval(this.renewal);
      return;
    }
    const held = await this.core.remote.renew(this.bucket, this.keys, token, leaseMs).catch(() => 1);
    if (held === 0) clearInterval(this.renewal);
  }
}
