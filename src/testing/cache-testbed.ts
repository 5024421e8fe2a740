import type { CacheService } from '../cache/index.js';
import { DEFAULT_CONNECTION, type ConnectionRegistry } from '../redis/index.js';

/** Longest wait for a condition, in milliseconds. */
const PATIENCE_MS = 5_000;

/**
 * Looks into a cache under test and puts it through what production will.
 *
 * There is no clock to move: entries end by the clock of the server. {@link expireAll} and
 * `CacheService.expire` make them stale now, `clear` and `delete` remove them.
 */
export class CacheTestbed {
  private loadsBefore = 0;

  /** @internal injected */
  constructor(
    private readonly cache: CacheService,
    private readonly registry: ConnectionRegistry,
  ) {}

  /** Loaders called since the start or {@link resetLoads}, in this module. */
  get loads(): number {
    return this.cache.stats().loads - this.loadsBefore;
  }

  /** Begins to count {@link loads} anew. */
  resetLoads(): void {
    this.loadsBefore = this.cache.stats().loads;
  }

  /**
   * Waits until nothing is loaded or written behind the callers' backs any more: a loaded value is written
   * after its caller has it.
   *
   * @throws {Error} after 5 s
   */
  async settled(): Promise<void> {
    await until('no load and no write is under way', () => {
      const { inFlight, pendingWrites } = this.cache.stats();
      return inFlight === 0 && pendingWrites === 0;
    });
  }

  /**
   * Waits until copies in memory are served, which begins with the first use of the cache.
   *
   * @throws {Error} after 5 s
   */
  async coherent(): Promise<void> {
    await this.cache.has('rednest-testing');
    await until('the process hears of changes', () => this.cache.stats().isCoherent);
  }

  /**
   * Cuts the connection on which the process hears of changes, as a network does; resolves when that was
   * noticed. It comes back by itself: wait with {@link coherent}.
   *
   * @throws {Error} after 5 s
   */
  async dropBackplane(): Promise<void> {
    const { client } = this.registry.connection(DEFAULT_CONNECTION, 'tracking');
    const noticed = new Promise<void>((resolve) => client.once('close', () => resolve()));
    client.disconnect(true);
    await within('the loss of the connection is noticed', noticed);
  }

  /** Makes every entry of the cache stale, as time does: what is left of `grace` it may still be served. */
  async expireAll(): Promise<void> {
    await this.cache.clear({ mode: 'expire' });
  }
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const endMs = performance.now() + PATIENCE_MS;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function within(what: string, event: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${PATIENCE_MS} ms: ${what}`)), PATIENCE_MS);
  });
  try {
    await Promise.race([event, late]);
  } finally {
    clearTimeout(timer);
  }
}
