/**
 * Follows the signals of callers, with one listener each: a request may make many calls at once, and Node takes
 * more than ten listeners of one signal for a leak.
 */
export class AbortSignals {
  private readonly followed = new WeakMap<AbortSignal, FollowedSignal>();

  /**
   * Calls `onAbort` when the signal is aborted.
   *
   * @returns a function that ends it
   */
  follow(signal: AbortSignal, onAbort: () => void): () => void {
    let followed = this.followed.get(signal);
    if (!followed) this.followed.set(signal, (followed = new FollowedSignal(signal)));
    return followed.add(onAbort);
  }
}

class FollowedSignal {
  private readonly callbacks = new Set<() => void>();

  constructor(private readonly signal: AbortSignal) {}

  add(callback: () => void): () => void {
    if (this.callbacks.size === 0) this.signal.addEventListener('abort', this.onAbort);
    this.callbacks.add(callback);
    return () => this.remove(callback);
  }

  /** A signal that outlives its calls, such as that of a shutdown, keeps nothing of them. */
  private remove(callback: () => void): void {
    if (!this.callbacks.delete(callback) || this.callbacks.size > 0) return;
    this.signal.removeEventListener('abort', this.onAbort);
  }

  private readonly onAbort = (): void => {
    for (const callback of this.callbacks) callback();
  };
}
