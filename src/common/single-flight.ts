/**
 * Runs at most one operation per key at a time; callers that arrive meanwhile share its result,
 * error included. Nothing is kept once the operation has settled.
 */
export class SingleFlight {
  private readonly flights = new Map<string, Promise<unknown>>();

  /** Number of operations running now. */
  get size(): number {
    return this.flights.size;
  }

  /** Joins the running operation of `key`, or starts `operation`. */
  run<T>(key: string, operation: () => Promise<T>): Promise<T> {
    const running = this.flights.get(key);
    if (running) return running as Promise<T>;
    const flight = this.start(operation).finally(() => {
      if (this.flights.get(key) === flight) this.flights.delete(key);
    });
    this.flights.set(key, flight);
    return flight;
  }

  /** Lets the next caller of `key` start anew although an operation is still running. */
  forget(key: string): void {
    this.flights.delete(key);
  }

  private async start<T>(operation: () => Promise<T>): Promise<T> {
    return operation();
  }
}
