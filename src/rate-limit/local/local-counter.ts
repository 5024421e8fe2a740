/** Limits of one policy, as this process applies them alone. */
export interface LocalLimits {
  readonly limit: number;
  readonly windowUs: number;
  /** What the algorithm needs besides; see `ResolvedPolicy.param`. */
  readonly param: number;
}

/** How a counter stands, in microseconds. */
export interface Judgement {
  /** Units that fit now. */
  readonly left: number;
  /** Until nothing is counted. */
  readonly resetUs: number;
  /** Until the cost fits; 0 when it fits now. */
  readonly waitUs: number;
  /** {@link resetUs} once the cost is taken. */
  readonly resetAfterUs: number;
}

/** What one call took. */
export interface Taken {
  readonly cost: number;
  /** When, and until when it counted at most. */
  readonly atUs: number;
  readonly resetUs: number;
}

/**
 * One counter in memory, under the same rules as the script's. `nowUs` never goes back.
 */
export interface LocalCounter {
  judge(limits: LocalLimits, cost: number, nowUs: number): Judgement;
  take(limits: LocalLimits, cost: number, nowUs: number): void;
  penalize(limits: LocalLimits, amount: number, nowUs: number): void;
  reward(limits: LocalLimits, amount: number, nowUs: number): void;
  refund(limits: LocalLimits, taken: Taken, nowUs: number): void;
}
