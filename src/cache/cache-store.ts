import { isRednestError, type Codec } from '../common/index.js';
import { RedisCommandError, type RedisClient, type RedisExecutor } from '../redis/index.js';
import { decodeEntry, type CacheEntry } from './cache-entry.js';
import type { CacheLog, CacheOperation } from './cache-log.js';
import type { CacheRecorder } from './cache-recorder.js';
import type { Fence } from './fenced-flights.js';

/** Result of a delete. */
export interface CacheDeletion {
  /** Entries that were there and are gone. 0 when not confirmed. */
  readonly removed: number;
  /**
   * Whether the server answered. `false`: some entries may still be there, until their time to live
   * ends; repeat the call or shorten the time to live where that matters.
   */
  readonly confirmed: boolean;
}

/** An encoded entry on its way to the server. */
export interface CacheWrite {
  readonly key: string;
  readonly text: string;
  readonly ttlMs: number;
  readonly timeoutMs: number;
}

/** What every cache operation reports to. */
export interface CacheObservers {
  readonly recorder: CacheRecorder;
  readonly log: CacheLog;
}

/**
 * Entries in Redis. Nothing here throws: what Redis fails to do becomes a miss, `false` or an
 * unconfirmed deletion, counted and logged. One round trip per call.
 */
export class CacheStore {
  constructor(
    private readonly executor: RedisExecutor,
    private readonly codec: Codec,
    private readonly observers: CacheObservers,
  ) {}

  /** Reads an entry (GET); `undefined` for a miss of any kind. */
  async read(key: string, timeoutMs: number): Promise<CacheEntry | undefined> {
    let text: string | null;
    try {
      text = await this.executor.run('cache.get', (client) => client.get(key), {
        deadlineMs: timeoutMs,
        idempotent: true,
      });
    } catch (error) {
      return this.readFailed(error);
    }
    this.observers.log.succeeded('read');
    if (text === null) return this.missed();
    const entry = decodeEntry(text, this.codec);
    if (!entry) return this.foreign();
    this.observers.recorder.count('hits');
    return entry;
  }

  /**
   * Writes an entry (SET PX), unless the fence is void when its turn comes.
   *
   * @returns whether the server confirmed it
   */
  async write(write: CacheWrite, fence?: Fence): Promise<boolean> {
    const { key, text, ttlMs, timeoutMs } = write;
    // Asked again when the command is about to leave: without a connection it may wait until then.
    const send = (client: RedisClient) =>
      fence?.isVoid ? Promise.resolve('discarded' as const) : client.set(key, text, 'PX', ttlMs);
    try {
      const reply = await this.executor.run('cache.set', send, { deadlineMs: timeoutMs });
      return reply === 'discarded' ? this.discarded() : this.answered('write', 'writes');
    } catch (error) {
      this.failed('write', error);
      this.observers.recorder.count('writeFailures');
      return false;
    }
  }

  /** Removes entries (UNLINK; one command per key on a Cluster, sent together). */
  async remove(keys: readonly string[], timeoutMs: number): Promise<CacheDeletion> {
    try {
      const removed = await this.executor.run('cache.delete', (client) => unlink(client, keys), {
        deadlineMs: timeoutMs,
      });
      return { removed, confirmed: this.answered('delete', 'deletes') };
    } catch (error) {
      this.failed('delete', error);
      this.observers.recorder.count('deleteFailures');
      return { removed: 0, confirmed: false };
    }
  }

  private readFailed(error: unknown): undefined {
    // The key holds a list, hash, ...: the server is fine, the entry is not ours.
    if (error instanceof RedisCommandError && error.reply === 'WRONGTYPE') return this.foreign();
    this.failed('read', error);
    this.observers.recorder.count('readFailures');
    return undefined;
  }

  private missed(): undefined {
    this.observers.recorder.count('misses');
    return undefined;
  }

  private foreign(): undefined {
    this.observers.recorder.count('corrupt');
    this.observers.log.faulty('corrupt');
    return this.missed();
  }

  private discarded(): false {
    this.observers.recorder.count('discardedWrites');
    return false;
  }

  private answered(operation: CacheOperation, counter: 'writes' | 'deletes'): true {
    this.observers.log.succeeded(operation);
    this.observers.recorder.count(counter);
    return true;
  }

  private failed(operation: CacheOperation, error: unknown): void {
    this.observers.log.failed(operation, isRednestError(error) ? error.code : 'ERR_UNKNOWN');
  }
}

/** On a Cluster the keys lie in different slots, where one command cannot reach them. */
async function unlink(client: RedisClient, keys: readonly string[]): Promise<number> {
  if (!client.isCluster) return client.unlink([...keys]);
  const removed = await Promise.all(keys.map((key) => client.unlink(key)));
  return removed.reduce((sum, count) => sum + count, 0);
}
