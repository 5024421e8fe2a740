/** Time source for local decisions; tests inject one they can move. */
export interface Clock {
  /** Wall clock in milliseconds since the Unix epoch. May jump. */
  now(): number;
  /** Monotonic milliseconds since an arbitrary start. Never jumps; use it for every deadline. */
  monotonicMs(): number;
}

/** The machine's clocks. */
export const systemClock: Clock = Object.freeze({
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
});
