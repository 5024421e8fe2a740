import { SingleFlight } from '../common/index.js';

/** A result and whether somebody else's question produced it. @internal */
export interface SharedResult<T> {
  readonly value: T;
  /** It had been there before this question was asked. */
  readonly isKept: boolean;
}

/** Lets all who ask within a span of time, and all who ask meanwhile, have one answer. @internal */
export class SharedResults<T> {
  private readonly flights = new SingleFlight();
  private readonly kept = new Map<string, { readonly value: T; readonly untilMs: number }>();

  constructor(private readonly keepMs: number) {}

  /** The kept answer of `key`, or that of `ask`. Rejects only when `ask` does; that is not kept. */
  async get(key: string, ask: () => Promise<T>): Promise<SharedResult<T>> {
    const kept = this.kept.get(key);
    if (kept && kept.untilMs > performance.now()) return { value: kept.value, isKept: true };
    const value = await this.flights.run(key, async () => {
      const value = await ask();
      this.kept.set(key, { value, untilMs: performance.now() + this.keepMs });
      return value;
    });
    return { value, isKept: false };
  }
}
