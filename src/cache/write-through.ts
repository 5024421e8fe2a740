import { noteFailure, type CacheCore, type EntryPlace } from './cache-core.js';
import type { CacheWrites } from './cache-writes.js';
import type { ResolvedEntryOptions } from './entry.options.js';
import { fillingOf } from './filling.js';
import { Lease, LoadTokens, longestLoadMs } from './lease.js';

/** A store may be slow; a process that dies while it writes holds readers back for this long at most, in milliseconds. */
const LEASE_MS = 5_000;

/**
 * Writes that go to the store first. The right to fill the entry is taken before, so that of two writers
 * whose writes cross, neither leaves its value behind: who began first is refused, and then removes what
 * the other may have left too early.
 */
export class WriteThrough {
  private readonly tokens = new LoadTokens();

  constructor(
    private readonly core: CacheCore,
    private readonly writes: CacheWrites,
  ) {}

  /** @throws the writer's error, after the entry was removed */
  async write<T extends {} | null>(
    place: EntryPlace,
    value: T,
    writer: (value: T) => T | undefined | void | Promise<T | undefined | void>,
    options: ResolvedEntryOptions,
  ): Promise<T> {
    const lease = await this.claim(place, options);
    let written: T;
    try {
      const answer = await writer(value);
      written = answer === undefined ? value : answer;
    } catch (error) {
      await lease?.release('free');
      await this.writes.remove([place], 'delete', options.timeoutMs);
      throw error;
    }
    this.writes.touch(place.key);
    const isKept = lease !== undefined && (await this.fill(place, lease, written, options));
    if (!isKept) await this.writes.remove([place], 'delete', options.timeoutMs);
    this.writes.touch(place.key);
    return written;
  }

  private async fill(
    place: EntryPlace,
    lease: Lease,
    value: {} | null,
    options: ResolvedEntryOptions,
  ): Promise<boolean> {
    const { codec } = place.view;
    try {
      const encoded = await codec.compress(codec.encode(value));
      const [verdict] = await lease.store([fillingOf(place, value, encoded, options)]);
      return verdict === 'current';
    } catch (error) {
      await lease.release('free');
      await this.writes.remove([place], 'delete', options.timeoutMs);
      throw error;
    }
  }

  /** Without Redis the store is written all the same. */
  private async claim(place: EntryPlace, options: ResolvedEntryOptions): Promise<Lease | undefined> {
    const { timeoutMs } = options;
    const token = this.tokens.next();
    const { bucket, key } = place;
    try {
      const stampUs = await this.core.remote.claim(bucket, key, token, LEASE_MS, timeoutMs);
      const heldMs = longestLoadMs(options);
      return new Lease(this.core, bucket, [key], { token, stampUs, leaseMs: LEASE_MS, timeoutMs, heldMs });
    } catch (error) {
      this.core.remote.withdraw(bucket, [key], token, timeoutMs, error);
      noteFailure(this.core.observers, 'write', 'writeFailures', error);
      return undefined;
    }
  }
}
