import { setTimeout as pause } from 'node:timers/promises';
import {
  backoffDelayMs,
  ConfigurationError,
  resolveDuration,
  resolveWholeNumber,
  type Duration,
} from '../common/index.js';
import type { DrainParticipant } from '../redis/index.js';
import { entryId, type CacheKey } from './cache-key.js';
import type { CacheLogger } from './cache-log.js';
import type { CacheSetOptions } from './cache.types.js';

/** One value on its way to the store. */
export interface WriteBehindItem<T> {
  /** Key as it was put. */
  readonly key: CacheKey;
  /** The value, merged from all that were put. */
  readonly value: T;
}

/** Values that never reached the store. */
export interface WriteBehindLoss {
  /** How many keys. */
  readonly count: number;
  /** `full`: the buffer was; `failed`: the store refused too often; `shutdown`: the time was over. */
  readonly reason: 'full' | 'failed' | 'shutdown';
}

/** Settings of {@link CacheService.writeBehind}. */
export interface WriteBehindOptions<T> {
  /** Name in logs. */
  name: string;
  /** Writes a batch to the store. A batch that rejects is written again, so it must be repeatable. */
  flush: (items: readonly WriteBehindItem<T>[]) => unknown;
  /** Makes one value of two for the same key, such as a sum. @default the later one */
  merge?: (earlier: T, later: T) => T;
  /** Also writes each value to the cache. Not with {@link merge}, whose result only the store knows. @default false */
  cached?: boolean | CacheSetOptions;
  /** Longest time a value waits. 1 ms to 1 h. @default '1s' */
  interval?: Duration;
  /** Keys in a batch at most; as many waiting are written at once. 1 to 100,000. @default 500 */
  batchSize?: number;
  /** Keys waiting at most; beyond that {@link WriteBehind.put} refuses new ones. 1 to 10,000,000. @default 10_000 */
  capacity?: number;
  /** How often a batch is tried before it is lost. 1 to 100. @default 5 */
  attempts?: number;
  /** Called with each loss, beside the log. */
  onLoss?: (loss: WriteBehindLoss) => unknown;
}

/** Numbers of a {@link WriteBehind} since its start. */
export interface WriteBehindStats {
  /** Keys waiting or being written now. */
  readonly pending: number;
  /** Keys written to the store. */
  readonly written: number;
  /** Values that were merged into one that waited already. */
  readonly coalesced: number;
  /** Batches that failed and were tried again. */
  readonly retries: number;
  /** Keys that never reached the store. */
  readonly lost: number;
}

/** What a {@link WriteBehind} needs of its cache. @internal */
export interface WriteBehindHost {
  readonly logger: CacheLogger;
  cache(key: CacheKey, value: unknown, options: CacheSetOptions): Promise<unknown>;
  forget(keys: readonly CacheKey[]): Promise<unknown>;
}

/**
 * A buffer of values that reach the store later: one per key, together, after a time or when there are
 * many. It lives in the memory of the process, so a process that is killed loses what waits; everything
 * else that is lost is counted, logged and told.
 *
 * @example
 * const views = cache.writeBehind<number>({ name: 'views', merge: (a, b) => a + b, flush: (items) => store.addViews(items) });
 * views.put(['campaign', id], 1);
 */
export class WriteBehind<T> implements DrainParticipant {
  /** Shown when it does not end in time. */
  readonly name: string;
  private readonly settings: Required<Pick<WriteBehindOptions<T>, 'batchSize' | 'capacity' | 'attempts'>> & {
    intervalMs: number;
  };
  private readonly waiting = new Map<string, WriteBehindItem<T>>();
  private readonly counts = { written: 0, coalesced: 0, retries: 0, lost: 0 };
  private inBatch = 0;
  private timer: NodeJS.Timeout | undefined;
  private flushing: Promise<void> | undefined;
  /** What waits by now is to be written as soon as the flush that runs has ended. */
  private isDueAgain = false;
  private isOver = false;
  /** Aborted when the time of the drain is over. */
  private readonly deadline = new AbortController();

  /**
   * @throws {ConfigurationError} when an option is unusable
   * @internal
   */
  constructor(
    private readonly options: WriteBehindOptions<T>,
    private readonly host: WriteBehindHost,
  ) {
    this.name = `write-behind "${options.name}"`;
    this.settings = resolveSettings(options);
  }

  /**
   * Takes a value; returns at once.
   *
   * @returns `false` when the value is lost, and counted: the buffer is full and the key is not in it, or the
   * application has ended it
   * @throws {ConfigurationError} when the key is unusable
   */
  put(key: CacheKey, value: T): boolean {
    const id = entryId(key);
    const earlier = this.waiting.get(id);
    if (this.isOver) {
      this.lose([{ key, value }], 'shutdown');
      return false;
    }
    if (!earlier && this.waiting.size + this.inBatch >= this.settings.capacity) {
      this.lose([{ key, value }], 'full');
      return false;
    }
    this.waiting.set(id, earlier ? this.merged(earlier, value) : { key, value });
    if (earlier) this.counts.coalesced += 1;
    this.cacheNow(key, value);
    if (this.waiting.size >= this.settings.batchSize) void this.flush();
    else this.schedule();
    return true;
  }

  /** Writes what waits now. Never rejects; resolves when it is written, or lost. */
  flush(): Promise<void> {
    if (this.flushing) this.isDueAgain = true;
    this.flushing ??= this.flushAll().finally(() => (this.flushing = undefined));
    return this.flushing;
  }

  /** Numbers since the start. */
  stats(): WriteBehindStats {
    return { pending: this.waiting.size + this.inBatch, ...this.counts };
  }

  /** Empties the buffer; what is left when the time is over is lost. @internal */
  async drain(signal: AbortSignal): Promise<void> {
    const end = (): void => this.deadline.abort();
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
    while (this.waiting.size + this.inBatch > 0 && !signal.aborted) await this.flush();
    // What ran when the time was over reports its loss first.
    await this.flushing;
    this.isOver = true;
    clearTimeout(this.timer);
    if (this.waiting.size > 0) this.lose(this.take(Infinity), 'shutdown');
  }

  private async flushAll(): Promise<void> {
    do {
      this.isDueAgain = false;
      await this.flushWaiting();
    } while (this.isDueAgain && !this.deadline.signal.aborted);
  }

  /** What is put meanwhile waits for its own time: a slow store would otherwise get it piece by piece. */
  private async flushWaiting(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    let left = this.waiting.size;
    while (left > 0 && !this.deadline.signal.aborted) {
      const batch = this.take(Math.min(left, this.settings.batchSize));
      left -= batch.length;
      await this.write(batch);
    }
  }

  private async write(batch: readonly WriteBehindItem<T>[]): Promise<void> {
    this.inBatch = batch.length;
    try {
      for (let attempt = 1; ; attempt += 1) {
        if (await this.tryWrite(batch)) return;
        const { signal } = this.deadline;
        if (attempt >= this.settings.attempts || signal.aborted) {
          this.lose(batch, signal.aborted ? 'shutdown' : 'failed');
          return;
        }
        this.counts.retries += 1;
        await pause(backoffDelayMs(attempt, RETRY), undefined, { signal }).catch(() => undefined);
      }
    } finally {
      this.inBatch = 0;
    }
  }

  private async tryWrite(batch: readonly WriteBehindItem<T>[]): Promise<boolean> {
    if (this.deadline.signal.aborted) return false;
    try {
      await untilAborted(this.options.flush(batch), this.deadline.signal);
      this.counts.written += batch.length;
      return true;
    } catch {
      return false;
    }
  }

  private take(count: number): WriteBehindItem<T>[] {
    const batch: WriteBehindItem<T>[] = [];
    for (const [id, item] of this.waiting) {
      if (batch.length >= count) break;
      batch.push(item);
      this.waiting.delete(id);
    }
    return batch;
  }

  private merged({ key, value: earlier }: WriteBehindItem<T>, later: T): WriteBehindItem<T> {
    return { key, value: this.options.merge ? this.options.merge(earlier, later) : later };
  }

  private cacheNow(key: CacheKey, value: T): void {
    const { cached = false, merge } = this.options;
    if (cached === false || merge) return;
    // What the store will have and the cache cannot must not leave the value before it there.
    void this.host
      .cache(key, value, cached === true ? {} : cached)
      .catch(() => this.host.forget([key]))
      .catch(() => undefined);
  }

  /** What the store does not have must not be answered by the cache either. */
  private lose(items: readonly WriteBehindItem<T>[], reason: WriteBehindLoss['reason']): void {
    this.counts.lost += items.length;
    this.host.logger.warn(`${items.length} values of ${this.name} were lost (${reason})`);
    if (this.options.cached) void this.host.forget(items.map(({ key }) => key)).catch(() => undefined);
    void this.tell({ count: items.length, reason });
  }

  private async tell(loss: WriteBehindLoss): Promise<void> {
    try {
      await this.options.onLoss?.(loss);
    } catch {
      this.host.logger.warn(`onLoss of ${this.name} failed`);
    }
  }

  private schedule(): void {
    this.timer ??= setTimeout(() => void this.flush(), this.settings.intervalMs).unref();
  }
}

const RETRY = { baseMs: 50, capMs: 5_000 };

/** Waits for work that may never end. @throws when the signal is aborted first */
async function untilAborted(work: unknown, signal: AbortSignal): Promise<void> {
  let abort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', abort!);
  }
}

function resolveSettings<T>(options: WriteBehindOptions<T>) {
  const {
    name,
    flush,
    merge,
    cached,
    interval = '1s',
    batchSize = 500,
    capacity = 10_000,
    attempts = 5,
  } = options;
  if (typeof name !== 'string' || name === '') {
    throw new ConfigurationError('Option "name" of a write-behind is not a name; give a non-empty string');
  }
  if (typeof flush !== 'function') {
    throw new ConfigurationError(
      'Option "flush" of a write-behind is not a function; give one that writes a batch',
    );
  }
  if (merge && cached) {
    throw new ConfigurationError(
      'Options "merge" and "cached" of a write-behind exclude each other: only the store knows the merged value',
    );
  }
  return {
    intervalMs: resolveDuration(interval, 'writeBehind.interval', { maxMs: 3_600_000 }),
    batchSize: resolveWholeNumber(batchSize, 'writeBehind.batchSize', { max: 100_000 }),
    capacity: resolveWholeNumber(capacity, 'writeBehind.capacity', { max: 10_000_000 }),
    attempts: resolveWholeNumber(attempts, 'writeBehind.attempts', { max: 100 }),
  };
}
