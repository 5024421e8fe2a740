import { Inject, Injectable, Logger, type ExecutionContext, type Type } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { resolveDuration } from '../common/index.js';
import { assertPolicies, PolicySet } from './policy-set.js';
import { PolicySets } from './policy-sets.js';
import type { RateLimitId } from './identity.js';
import { resolveReferences, type ResolvedRateLimitOptions } from './rate-limit.options.js';
import { RATE_LIMIT_OPTIONS } from './rate-limit.tokens.js';
import { resolvePolicy, type ResolvedPolicy } from './resolved-policy.js';
import {
  CONCURRENCY_METADATA,
  isStream,
  RATE_LIMIT_METADATA,
  SKIP_RATE_LIMIT_METADATA,
  type SkippedPolicies,
} from './route-metadata.js';
import type { PlanGroup, PlannedSlots, RoutePlan, StagePlan } from './route-plan.js';
import {
  defaultStage,
  type RateLimitStage,
  type RouteConcurrency,
  type RoutePolicy,
  type RoutePolicyReference,
} from './route-policy.js';

/** A handler, as contexts name it. */
export type Handler = ReturnType<ExecutionContext['getHandler']>;

/**
 * Works out which policies apply to a handler, once per handler.
 *
 * @internal
 */
@Injectable()
export class RoutePlanner {
  private readonly plans = new WeakMap<object, WeakMap<object, RoutePlan>>();
  private readonly counters = new WeakMap<object, string>();
  private readonly sets: PolicySets;

  constructor(
    @Inject(RATE_LIMIT_OPTIONS) private readonly options: ResolvedRateLimitOptions,
    @Inject(Reflector) private readonly reflector: Reflector,
  ) {
    const logger = new Logger('RateLimitGuard');
    this.sets = new PolicySets({
      onError: options.onError,
      resolveTtlMs: options.resolveTtlMs,
      counterOf: (policy) => this.counters.get(policy),
      onResolveError: (policy) =>
        logger.warn(`"resolve" of rate limit policy "${policy}" failed; the limits known before apply`),
    });
  }

  /**
   * What applies to a handler: the policies of the class, then those of the method.
   *
   * @throws {ConfigurationError} when a decorator names an unknown policy
   */
  plan(controller: Type, handler: Handler): RoutePlan {
    let plans = this.plans.get(handler);
    if (!plans) this.plans.set(handler, (plans = new WeakMap()));
    let plan = plans.get(controller);
    if (!plan) plans.set(controller, (plan = this.create(controller, handler)));
    return plan;
  }

  /** The policies of a group, with the limits that hold for an identity. */
  setFor(group: PlanGroup, id: RateLimitId): PolicySet | Promise<PolicySet> {
    return group.isDynamic ? this.sets.get(id, group.policies) : group.set;
  }

  private create(controller: Type, handler: Handler): RoutePlan {
    const policies = this.policiesOf(controller, handler);
    const slots = this.slotsOf(controller, handler);
    const stage = (name: RateLimitStage): StagePlan =>
      this.group(policies.filter((policy) => defaultStage(policy) === name));
    const plan = { preAuth: stage('pre-auth'), postAuth: stage('post-auth'), slots };
    const countOnly = new Map(
      policies.flatMap((policy) => (policy.countOnly ? [[policy.name, policy.countOnly]] : [])),
    );
    return {
      ...plan,
      countOnly,
      shadows: new Set(policies.filter(({ shadow }) => shadow).map(({ name }) => name)),
      isStream: isStream(handler),
      isSimple: plan.postAuth.length === 0 && slots.length === 0 && countOnly.size === 0,
    };
  }

  /** Copies, so that each has the counter of this route. */
  private policiesOf(controller: Type, handler: Handler): RoutePolicy[] {
    const where = `@RateLimit on ${controller.name}.${handler.name}`;
    const onClass = this.declared(controller, where);
    const onMethod = this.declared(handler, where);
    const outer = onClass ?? (onMethod ? [] : this.options.defaultPolicies);
    return this.merge(outer, onMethod ?? [], controller, handler).map((policy) => {
      const own = { ...policy };
      this.counters.set(own, counterName(policy, controller, handler));
      return own;
    });
  }

  private slotsOf(controller: Type, handler: Handler): PlannedSlots[] {
    const declared = (target: Type | Handler) =>
      this.reflector.get<readonly RouteConcurrency[] | undefined>(CONCURRENCY_METADATA, target) ?? [];
    return this.merge(declared(controller), declared(handler), controller, handler).map((policy) => ({
      key: policy.key ?? 'ip',
      policy,
      scope: scopeName(policy, controller, handler),
      maxWait:
        policy.maxWait === undefined
          ? undefined
          : resolveDuration(policy.maxWait, `${policy.name}.maxWait`, { minMs: 0, maxMs: 86_400_000 }),
    }));
  }

  /** Adds by name; what the method declares replaces what the class does. */
  private merge<T extends { readonly name: string }>(
    outer: readonly T[],
    inner: readonly T[],
    controller: Type,
    handler: Handler,
  ): T[] {
    const applied = new Map<string, T>();
    for (const policy of this.withoutSkipped(outer, controller)) applied.set(policy.name, policy);
    for (const policy of inner) applied.set(policy.name, policy);
    return this.withoutSkipped([...applied.values()], handler);
  }

  private declared(target: Type | Handler, where: string): RoutePolicy[] | undefined {
    const references = this.reflector.get<readonly RoutePolicyReference[] | undefined>(
      RATE_LIMIT_METADATA,
      target,
    );
    return references && resolveReferences(references, this.options.policies, where);
  }

  private withoutSkipped<T extends { readonly name: string }>(
    policies: readonly T[],
    target: Type | Handler,
  ): T[] {
    const skipped = this.reflector.get<SkippedPolicies | undefined>(SKIP_RATE_LIMIT_METADATA, target);
    if (skipped === 'all') return [];
    return policies.filter(({ name }) => !skipped?.includes(name));
  }

  private group(policies: readonly RoutePolicy[]): StagePlan {
    const groups: RoutePolicy[][] = [];
    for (const policy of policies) {
      const group = groups.find(([first]) => first && isAlike(first, policy));
      if (group) group.push(policy);
      else groups.push([policy]);
    }
    const resolved = groups.map((members) => members.map((policy) => this.resolve(policy)));
    // Throws for policies that cannot be asked together.
    if (resolved.length > 0) assertPolicies(resolved.flat());
    return groups.map((members, index) => toGroup(members, new PolicySet(resolved[index]!)));
  }

  private resolve(policy: RoutePolicy): ResolvedPolicy {
    return resolvePolicy(policy, this.options.onError, this.counters.get(policy));
  }
}

function isAlike(a: RoutePolicy, b: RoutePolicy): boolean {
  return (
    (a.key ?? 'ip') === (b.key ?? 'ip') &&
    (a.cost ?? 1) === (b.cost ?? 1) &&
    a.countOnly === b.countOnly &&
    (a.charge ?? 'operation') === (b.charge ?? 'operation')
  );
}

function toGroup(policies: readonly RoutePolicy[], set: PolicySet): PlanGroup {
  const { key = 'ip', cost = 1, charge = 'operation' } = policies[0]!;
  return {
    key,
    policies,
    set,
    isDynamic: policies.some(({ resolve }) => resolve !== undefined),
    cost,
    // Each field tells its cost by its own arguments: one cannot stand for all.
    perField: charge === 'field' || typeof cost === 'function',
  };
}

/** A policy name holds no slash, so the counters of different scopes never meet. */
function counterName(policy: RoutePolicy, controller: Type, handler: Handler): string {
  const scope = scopeName(policy, controller, handler);
  return scope === undefined ? policy.name : `${scope}/${policy.name}`;
}

/** What a policy is shared by; `undefined`: everything. */
function scopeName(
  { scope = 'global' }: Pick<RoutePolicy, 'scope'>,
  controller: Type,
  handler: Handler,
): string | undefined {
  if (scope === 'global') return undefined;
  return scope === 'class' ? controller.name : `${controller.name}.${handler.name}`;
}
