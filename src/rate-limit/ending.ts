import type { AbortSignals } from '../redis/index.js';
import { sleep } from './sleep.js';

/**
 * What ends a wait early: the signal of its caller, and the end of the application. Both may live for as long as
 * the process, so nothing stays with them: `AbortSignal.any` leaves a trace of every call.
 *
 * @internal
 */
export class Ending {
  constructor(
    private readonly signals: AbortSignals,
    private readonly sources: readonly AbortSignal[],
  ) {}

  /** @throws the reason of the first that is aborted */
  throwIfEnded(): void {
    for (const source of this.sources) source.throwIfAborted();
  }

  /**
   * Calls `callback` when one of them is aborted.
   *
   * @returns a function that ends it
   */
  follow(callback: (reason: unknown) => void): () => void {
    const leaves = this.sources.map((source) => this.signals.follow(source, () => callback(source.reason)));
    return () => leaves.forEach((leave) => leave());
  }

  /**
   * Resolves after `ms` milliseconds, or, without an error, as soon as `over` is aborted.
   *
   * @throws the reason as soon as one of them is aborted
   */
  async sleep(ms: number, over?: AbortSignal): Promise<undefined> {
    this.throwIfEnded();
    const early = new AbortController();
    const leave = this.follow((reason) => early.abort(reason));
    const wake = (): void => early.abort();
    over?.addEventListener('abort', wake, { once: true });
    try {
      return await sleep(ms, early.signal);
    } catch (error) {
      if (over?.aborted) return undefined;
      throw error;
    } finally {
      leave();
    }
  }
}
