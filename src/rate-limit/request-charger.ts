import { Inject, Injectable, type ExecutionContext } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { mergeDecisions, type Demand, type RateLimitDecision } from './decision.js';
import { encodeIdentity } from './identity.js';
import { PolicyEvaluator } from './policy-evaluator.js';
import { PolicySet } from './policy-set.js';
import { RateLimitCostError } from './rate-limit.errors.js';
import { RequestIdentities, type RequestIdentity, type Tracker } from './request-identity.js';
import { chargesOf, type OperationCharges } from './request-state.js';
import type { PlanGroup, StagePlan } from './route-plan.js';
import { RoutePlanner } from './route-planner.js';

/** Identities whose encoded form is remembered. */
const REMEMBERED = 5000;

/** Longer ones are not: clients choose some of them. */
const MAX_LENGTH = 64;

/** Policies, and whom a request counts for under them. */
interface Claim {
  readonly group: PlanGroup;
  readonly id: RequestIdentity;
  /** Encoded. */
  readonly identity: string;
}

/**
 * Takes what a request costs from the policies of its route.
 *
 * @internal
 */
@Injectable()
export class RequestCharger {
  /** Kinds hold no slash, so no two identities share a key. */
  private readonly encoded = new LRUCache<string, string>({ max: REMEMBERED });

  constructor(
    @Inject(PolicyEvaluator) private readonly evaluator: PolicyEvaluator,
    @Inject(RoutePlanner) private readonly planner: RoutePlanner,
    @Inject(RequestIdentities) private readonly identities: RequestIdentities,
  ) {}

  /**
   * All policies of a stage in one call: all are charged, or none. A GraphQL operation is charged once for
   * every counter and identity, whichever of its fields come under it.
   *
   * @returns `undefined` when no policy applies to this request
   * @throws {RateLimitUnavailableError} when Redis does not answer and a policy is `closed`
   * @throws {RateLimitCostError} when the request costs more than a policy can ever let through
   */
  charge(
    context: ExecutionContext,
    stage: StagePlan,
    tracker: Tracker,
  ): Promise<RateLimitDecision> | undefined | Promise<RateLimitDecision | undefined> {
    if (context.getType<string>() === 'graphql') return this.chargeOperation(context, stage, tracker);
    return this.consume(context, this.claims(context, stage, tracker));
  }

  /** Those the policies apply to, and whom the request counts for under each. */
  private claims(context: ExecutionContext, stage: StagePlan, tracker: Tracker): Claim[] {
    const claims: Claim[] = [];
    for (const group of stage) {
      const id = this.identities.find(context, group.key, tracker);
      if (id !== undefined) claims.push({ group, id, identity: this.encode(id) });
    }
    return claims;
  }

  private consume(
    context: ExecutionContext,
    claims: readonly Claim[],
  ): Promise<RateLimitDecision> | undefined | Promise<RateLimitDecision | undefined> {
    if (claims.some(({ group }) => group.isDynamic)) return this.consumeLater(context, claims);
    const demands: Demand[] = [];
    for (const { group, identity } of claims) {
      const cost = costOf(group, context);
      if (cost !== 0) demands.push(toDemand(identity, group.set, cost));
    }
    return this.evaluate(demands);
  }

  /** Waits for all of them, whichever fails first: one that fails behind it would be a rejection that nobody handles. */
  private async consumeLater(
    context: ExecutionContext,
    claims: readonly Claim[],
  ): Promise<RateLimitDecision | undefined> {
    const demands = await Promise.all(
      claims.map(async ({ group, id, identity }) => {
        const cost = costOf(group, context);
        return cost === 0 ? undefined : toDemand(identity, await this.planner.setFor(group, id), cost);
      }),
    );
    return this.evaluate(demands.filter((demand) => demand !== undefined));
  }

  private evaluate(demands: readonly Demand[]): Promise<RateLimitDecision> | undefined {
    return demands.length === 0 ? undefined : this.evaluator.evaluate('consume', demands);
  }

  /** Remembered, because the same clients come again and again. */
  private encode(id: RequestIdentity): string {
    if (id[1].length > MAX_LENGTH) return encodeIdentity(id);
    const key = `${id[0]}/${id[1]}`;
    let identity = this.encoded.get(key);
    if (identity === undefined) this.encoded.set(key, (identity = encodeIdentity(id)));
    return identity;
  }

  private async chargeOperation(
    context: ExecutionContext,
    stage: StagePlan,
    tracker: Tracker,
  ): Promise<RateLimitDecision | undefined> {
    const charges = chargesOf(context);
    const earlier = new Set<Promise<RateLimitDecision | undefined>>();
    const due = this.claims(context, stage, tracker).flatMap((claim) =>
      claim.group.perField ? claim : stillDue(claim, charges, earlier),
    );
    const now = Promise.resolve(this.consume(context, due));
    for (const claim of due) {
      if (!claim.group.perField) for (const counter of countersOf(claim)) charges.set(counter, now);
    }
    const decisions = await Promise.all([...earlier, now]);
    const made = decisions.filter((decision) => decision !== undefined);
    if (made.length === 0) return undefined;
    // The receipt is that of the field that was charged: others would give back the same once more.
    return { ...mergeDecisions(made), receipt: (await now)?.receipt };
  }
}

/** The part of a claim that the operation was not charged for yet. */
function stillDue(
  claim: Claim,
  charges: OperationCharges,
  earlier: Set<Promise<RateLimitDecision | undefined>>,
): Claim[] {
  const { group } = claim;
  const counters = countersOf(claim);
  const isDue = counters.map((counter) => !charges.has(counter));
  for (const counter of counters) {
    const charge = charges.get(counter);
    if (charge) earlier.add(charge);
  }
  if (isDue.every(Boolean)) return [claim];
  const policies = group.policies.filter((_, index) => isDue[index]);
  if (policies.length === 0) return [];
  const set = new PolicySet(group.set.policies.filter((_, index) => isDue[index]));
  return [{ ...claim, group: { ...group, policies, set } }];
}

/** The identity is part of it: fields of one operation may count for different ones, by their arguments. */
function countersOf({ group, identity }: Claim): string[] {
  return group.set.policies.map(({ counter }) => `${counter} ${identity}`);
}

function costOf({ cost }: PlanGroup, context: ExecutionContext): number {
  return typeof cost === 'function' ? cost(context) : cost;
}

function toDemand(identity: string, set: PolicySet, cost: number): Demand {
  if (cost > set.capacity) {
    const { name, capacity } = set.policies.find((policy) => cost > policy.capacity)!;
    throw new RateLimitCostError(name, capacity);
  }
  set.assertCost(cost);
  return { identity, set, cost };
}
