/** What became of a loaded value: kept, overtaken by a newer write or invalidation, or not known. */
export type Verdict = 'kept' | 'overtaken' | 'unknown';

/** A read or load that callers share. */
export interface Flight<T> {
  readonly value: Promise<T>;
  /** Settles after {@link value}; never rejects. */
  verdict: Promise<Verdict> | Verdict;
  /** Loads although a fresh value is there. */
  readonly isForced: boolean;
}

/** Reads and loads that are running, by key of the entry. */
export class Flights {
  private readonly running = new Map<string, Flight<unknown>>();
  private joinedCount = 0;

  /** Running now. */
  get size(): number {
    return this.running.size;
  }

  /** Callers so far that shared the work of another. */
  get joined(): number {
    return this.joinedCount;
  }

  /**
   * Shares the running work of `key`, or starts it. Who joins began after the work did, so a value that
   * was overtaken in between is too old for them: they start anew. Who wants a load does not join a read.
   */
  async run<T>(key: string, isForced: boolean, start: (flight: Flight<T>) => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt += 1) {
      const running = this.running.get(key) as Flight<T> | undefined;
      if (!running || (isForced && !running.isForced)) return this.launch(key, isForced, start).value;
      this.joinedCount += 1;
      const value = await running.value;
      const { verdict } = running;
      if ((typeof verdict === 'string' ? verdict : await verdict) !== 'overtaken') return value;
      if (attempt === MAX_RESTARTS) return value;
      if (this.running.get(key) === running) this.running.delete(key);
    }
  }

  /** The key changed: whoever asks from now on starts anew. */
  void(key: string): void {
    this.running.delete(key);
  }

  /** Anything whose key begins like this may have changed. */
  voidUnder(prefix: string): void {
    for (const key of this.running.keys()) if (key.startsWith(prefix)) this.running.delete(key);
  }

  /** Anything may have changed. */
  voidAll(): void {
    this.running.clear();
  }

  private launch<T>(key: string, isForced: boolean, start: (flight: Flight<T>) => Promise<T>): Flight<T> {
    const flight: Flight<T> & { value: Promise<T> } = {
      value: undefined as unknown as Promise<T>,
      verdict: 'unknown',
      isForced,
    };
    const land = (): void => {
      if (this.running.get(key) === flight) this.running.delete(key);
    };
    flight.value = start(flight);
    this.running.set(key, flight);
    flight.value.then(land, land);
    return flight;
  }
}

/** A key that changes faster than it loads would keep callers for ever. */
const MAX_RESTARTS = 3;
