import { AbortSignals } from './abort-signals.js';
import type { RedisExecutor } from './executor.js';

/** A connection lent to one user. Give it back with {@link release}; twice is fine. */
export interface Lane {
  readonly executor: RedisExecutor;
  /** Gives the connection to the next user. */
  release(): void;
}

interface Waiter {
  readonly keys: readonly string[];
  readonly start: (lane: Lane) => void;
}

/**
 * A few connections for WATCH, one user at a time each, because watched keys belong to the
 * connection. Users of the same keys wait for each other here, in order: on two connections at once
 * they would only make each other repeat.
 */
export class TransactionLanes {
  /** Follows the signals of all users. */
  readonly signals = new AbortSignals();
  private readonly idle: number[] = [];
  private readonly waiters: Waiter[] = [];
  private readonly busyKeys = new Set<string>();
  private created = 0;

  /**
   * @param size connections at most; each is opened when it is first needed
   * @param open gives the executor of connection number `index`, always the same
   */
  constructor(
    private readonly size: number,
    private readonly open: (index: number) => RedisExecutor,
  ) {}

  /** Users waiting for a connection. */
  get waiting(): number {
    return this.waiters.length;
  }

  /** Waits for a connection that may work on `keys`; `undefined` when `signal` was aborted first. */
  acquire(keys: readonly string[], signal: AbortSignal): Promise<Lane | undefined> {
    return new Promise((resolve) => {
      const waiter: Waiter = {
        keys: [...new Set(keys)],
        start: (lane) => {
          signal.removeEventListener('abort', giveUp);
          resolve(lane);
        },
      };
      const giveUp = (): void => {
        this.waiters.splice(this.waiters.indexOf(waiter), 1);
        resolve(undefined);
      };
      if (signal.aborted) return resolve(undefined);
      signal.addEventListener('abort', giveUp, { once: true });
      this.waiters.push(waiter);
      this.serve();
    });
  }

  private serve(): void {
    while (this.idle.length > 0 || this.created < this.size) {
      const at = this.waiters.findIndex(({ keys }) => !keys.some((key) => this.busyKeys.has(key)));
      if (at < 0) return;
      const [waiter] = this.waiters.splice(at, 1);
      waiter!.start(this.lend(waiter!.keys));
    }
  }

  private lend(keys: readonly string[]): Lane {
    const index = this.idle.pop() ?? this.created++;
    for (const key of keys) this.busyKeys.add(key);
    let isLent = true;
    const release = (): void => {
      if (!isLent) return;
      isLent = false;
      for (const key of keys) this.busyKeys.delete(key);
      this.idle.push(index);
      this.serve();
    };
    return { executor: this.open(index), release };
  }
}
