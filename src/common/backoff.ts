/** Shape of a bounded exponential back-off. All times in milliseconds. */
export interface BackoffOptions {
  /** Delay of the first attempt, doubled with each further one. */
  baseMs: number;
  /** Upper bound of the delay. */
  capMs: number;
  /** Source of randomness in [0, 1). @default Math.random */
  random?: () => number;
}

/**
 * Delay before attempt number `attempt` (1-based): exponential growth up to the cap, then spread
 * over the upper half of that value, so that a fleet that lost its server at the same moment does
 * not come back at the same moment.
 *
 * @returns whole milliseconds between half of the exponential value and the value itself
 * @see https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ ("equal jitter")
 */
export function backoffDelayMs(attempt: number, options: BackoffOptions): number {
  const { baseMs, capMs, random = Math.random } = options;
  const exponent = Math.min(Math.max(attempt, 1) - 1, 30);
  const full = Math.min(capMs, baseMs * 2 ** exponent);
  return Math.round(full * (0.5 + random() * 0.5));
}
