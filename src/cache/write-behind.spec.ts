import { beforeEach, describe, expect, it } from '@jest/globals';
import { eventually } from '../../test/support/eventually.js';
import type { CacheKey } from './cache-key.js';
import { WriteBehind, type WriteBehindItem, type WriteBehindOptions } from './write-behind.js';

/** A store whose writes end when the test says so. */
class GatedStore {
  readonly batches: (readonly WriteBehindItem<number>[])[] = [];
  private readonly ends: (() => void)[] = [];
  private readonly fails: (() => void)[] = [];

  readonly flush = (items: readonly WriteBehindItem<number>[]): Promise<void> => {
    this.batches.push(items);
    return new Promise((resolve, reject) => {
      this.ends.push(resolve);
      this.fails.push(() => reject(new Error('the store refuses')));
    });
  };

  async end(batch: number): Promise<void> {
    await eventually(`batch ${batch} has begun`, () => this.ends.length > batch);
    this.ends[batch]!();
  }

  async fail(batch: number): Promise<void> {
    await eventually(`batch ${batch} has begun`, () => this.fails.length > batch);
    this.fails[batch]!();
  }

  get values(): number[][] {
    return this.batches.map((items) => items.map(({ value }) => value));
  }
}

describe('WriteBehind', () => {
  let store: GatedStore;
  let cached: [CacheKey, unknown][];
  let forgotten: CacheKey[];
  let warnings: string[];

  beforeEach(() => {
    store = new GatedStore();
    cached = [];
    forgotten = [];
    warnings = [];
  });

  const buffer = (options: Partial<WriteBehindOptions<number>> = {}): WriteBehind<number> =>
    new WriteBehind<number>(
      { name: 'views', flush: store.flush, interval: '1h', ...options },
      {
        logger: { log: () => undefined, warn: (line) => void warnings.push(line) },
        cache: async (key, value) => cached.push([key, value]),
        forget: async (keys) => forgotten.push(...keys),
      },
    );
  const add = (earlier: number, later: number): number => earlier + later;

  it('writes one value per key: the last one, or what merge makes of them', async () => {
    const last = buffer();
    for (const value of [1, 2, 3]) last.put('a', value);
    void last.flush();
    await store.end(0);
    const sums = buffer({ merge: add });
    for (const value of [1, 2, 3]) sums.put('a', value);
    void sums.flush();
    await store.end(1);

    expect(store.values).toEqual([[3], [6]]);
    expect(last.stats()).toMatchObject({ coalesced: 2 });
  });

  it('leaves what is put during a flush for the next one, however slow the store is', async () => {
    const views = buffer({ merge: add });
    views.put('a', 1);
    const flushed = views.flush();
    await eventually('the store is being written', () => store.batches.length === 1);

    for (let view = 0; view < 10; view += 1) views.put('a', 1);
    await store.end(0);
    await flushed;

    expect(store.values).toEqual([[1]]);
    expect(views.stats()).toMatchObject({ pending: 1, written: 1, coalesced: 9 });
    void views.flush();
    await store.end(1);
    expect(store.values).toEqual([[1], [10]]);
  });

  it('writes what was put during a flush when somebody asks for it meanwhile', async () => {
    const views = buffer();
    views.put('a', 1);
    void views.flush();
    await eventually('the store is being written', () => store.batches.length === 1);
    views.put('a', 2);

    const flushed = views.flush();
    await store.end(0);
    await store.end(1);
    await flushed;

    expect(store.values).toEqual([[1], [2]]);
    expect(views.stats()).toMatchObject({ pending: 0, written: 2 });
  });

  it('writes after its interval, also what was put during a flush', async () => {
    const views = buffer({ interval: '5ms' });

    views.put('a', 1);
    await eventually('the interval is over', () => store.batches.length === 1);
    views.put('a', 2);
    await store.end(0);
    await eventually('the interval is over again', () => store.batches.length === 2);
    await store.end(1);

    expect(store.values).toEqual([[1], [2]]);
  });

  it('writes at once when as many wait as a batch takes', async () => {
    const views = buffer({ batchSize: 2 });

    for (const [index, key] of ['a', 'b', 'c'].entries()) views.put(key, index);
    await store.end(0);
    await eventually('it is written', () => views.stats().written === 2);

    expect(store.values).toEqual([[0, 1]]);
    expect(views.stats().pending).toBe(1);
  });

  it('takes a full buffer for what it is, and still merges into it', () => {
    const losses: unknown[] = [];
    const views = buffer({ capacity: 1, merge: add, onLoss: (loss) => losses.push(loss) });

    expect([views.put('a', 1), views.put('b', 1), views.put('a', 1)]).toEqual([true, false, true]);
    expect(losses).toEqual([{ count: 1, reason: 'full' }]);
    expect(views.stats()).toMatchObject({ pending: 1, lost: 1, coalesced: 1 });
  });

  it('tries a batch again, and loses it when the store refuses too often', async () => {
    const losses: unknown[] = [];
    const views = buffer({ attempts: 2, cached: true, onLoss: (loss) => losses.push(loss) });
    views.put(['campaign', 1], 7);

    const flushed = views.flush();
    await store.fail(0);
    await store.fail(1);
    await flushed;

    expect(store.values).toEqual([[7], [7]]);
    expect(views.stats()).toEqual({ pending: 0, written: 0, coalesced: 0, retries: 1, lost: 1 });
    expect(losses).toEqual([{ count: 1, reason: 'failed' }]);
    expect(warnings).toEqual(['1 values of write-behind "views" were lost (failed)']);
    // What the store does not have must not be answered by the cache.
    expect([cached, forgotten]).toEqual([[[['campaign', 1], 7]], [['campaign', 1]]]);
  });

  it('drains everything, also what is put while it does', async () => {
    const views = buffer();
    views.put('a', 1);

    const drained = views.drain(new AbortController().signal);
    await eventually('the store is being written', () => store.batches.length === 1);
    views.put('b', 2);
    await store.end(0);
    await store.end(1);
    await drained;

    expect(store.values).toEqual([[1], [2]]);
    expect(views.put('c', 3)).toBe(false);
    expect(views.stats()).toMatchObject({ pending: 0, written: 2, lost: 1 });
  });

  it('gives up when the time of the drain is over, and says what is lost', async () => {
    const losses: unknown[] = [];
    const views = buffer({ batchSize: 1, onLoss: (loss) => losses.push(loss) });
    views.put('a', 1);
    views.put('b', 2);
    const time = new AbortController();

    const drained = views.drain(time.signal);
    await eventually('the store is being written', () => store.batches.length === 1);
    time.abort();
    await drained;

    expect(losses).toEqual([
      { count: 1, reason: 'shutdown' },
      { count: 1, reason: 'shutdown' },
    ]);
    expect(views.stats()).toMatchObject({ pending: 0, written: 0, lost: 2 });
  });
});
