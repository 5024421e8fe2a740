import type { PolicySet } from './policy-set.js';
import type { ConcurrencyPolicy } from './concurrency.js';
import type { RateLimitKey, RoutePolicy } from './route-policy.js';

/** Policies of a route that count for the same identity, at the same cost. */
export interface PlanGroup {
  readonly key: RateLimitKey;
  /** As they were declared, with a counter of their own; what `resolve` is asked about. */
  readonly policies: readonly RoutePolicy[];
  readonly set: PolicySet;
  /** Whether limits depend on the identity. */
  readonly isDynamic: boolean;
  readonly cost: NonNullable<RoutePolicy['cost']>;
  /** Whether each field of a GraphQL operation is charged. */
  readonly perField: boolean;
}

/** What applies in one stage. */
export type StagePlan = readonly PlanGroup[];

/** Slots a request takes. */
export interface PlannedSlots {
  readonly key: RateLimitKey;
  readonly policy: ConcurrencyPolicy;
  /** What the slots are shared by; `undefined`: everything. */
  readonly scope: string | undefined;
  readonly maxWait: number | undefined;
}

/** Everything about a handler that can be worked out beforehand. */
export interface RoutePlan {
  readonly preAuth: StagePlan;
  readonly postAuth: StagePlan;
  readonly slots: readonly PlannedSlots[];
  /** Which outcome counts, by policy; without those for which both do. */
  readonly countOnly: ReadonlyMap<string, 'failures' | 'successes'>;
  /** Policies that clients are not told about, because they only watch. */
  readonly shadows: ReadonlySet<string>;
  /** Whether it answers with a stream of events, which only a guard can refuse. */
  readonly isStream: boolean;
  /** Whether the interceptor has nothing to do. */
  readonly isSimple: boolean;
}
