/** A turn of the event loop; what is asked for in it leaves when it is over. */
export interface Turn {
  /** Monotonic time at which it was over, in milliseconds; `Infinity` while it lasts. */
  readonly endedMs: number;
}

/** Tells turns of the event loop apart, at the cost of one callback for all who ask in one of them. */
export class Turns {
  private current: { endedMs: number } | undefined;

  /** The turn that lasts. */
  get now(): Turn {
    if (!this.current) {
      this.current = { endedMs: Infinity };
      setImmediate(this.end);
    }
    return this.current;
  }

  private readonly end = (): void => {
    this.current!.endedMs = performance.now();
    this.current = undefined;
  };
}

/** For what nobody can have been told of anything newer. */
export const FOR_ALL: Turn = Object.freeze({ endedMs: Infinity });
