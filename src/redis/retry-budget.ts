/** Share of successful calls that may be spent on retries. */
const SHARE = 0.1;

/** Retries allowed before any call has succeeded, and the most that can be saved up. */
const INITIAL = 10;
const MAXIMUM = 100;

/**
 * Keeps retries from multiplying the load of a server that is in trouble: each success earns a
 * tenth of a retry, each retry costs one.
 *
 * @see https://sre.google/sre-book/addressing-cascading-failures/ ("retry budget")
 */
export class RetryBudget {
  private tokens = INITIAL;

  /** A call succeeded. */
  earn(): void {
    if (this.tokens < MAXIMUM) this.tokens += SHARE;
  }

  /** Takes one retry; `false` when none is left. */
  spend(): boolean {
    if (this.tokens < 1) return false;
    this.tokens -= 1;
    return true;
  }
}
