import { Inject, Injectable, type ExecutionContext, type Type } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { assertPolicies } from './policy-set.js';
import {
  RATE_LIMIT_METADATA,
  SKIP_RATE_LIMIT_METADATA,
  type SkippedPolicies,
} from './rate-limit.decorators.js';
import { resolveReferences, type ResolvedRateLimitOptions } from './rate-limit.options.js';
import { RATE_LIMIT_OPTIONS } from './rate-limit.tokens.js';
import { resolvePolicy, type ResolvedPolicy } from './resolved-policy.js';
import type { RateLimitKeyFunction, RoutePolicy, RoutePolicyReference } from './route-policy.js';

/** A policy of a route, ready to be evaluated. */
export interface PlannedPolicy {
  readonly policy: ResolvedPolicy;
  readonly key: 'ip' | RateLimitKeyFunction;
}

type Handler = ReturnType<ExecutionContext['getHandler']>;

/**
 * Works out which policies apply to a handler, once per handler.
 *
 * @internal
 */
@Injectable()
export class RoutePlanner {
  private readonly plans = new WeakMap<object, WeakMap<object, readonly PlannedPolicy[]>>();

  constructor(
    @Inject(RATE_LIMIT_OPTIONS) private readonly options: ResolvedRateLimitOptions,
    private readonly reflector: Reflector,
  ) {}

  /**
   * Policies of a handler in the order they are evaluated: those of the class, then those of the
   * method.
   *
   * @throws {ConfigurationError} when a decorator names an unknown policy
   */
  plan(controller: Type, handler: Handler): readonly PlannedPolicy[] {
    let plans = this.plans.get(controller);
    if (!plans) this.plans.set(controller, (plans = new WeakMap()));
    let plan = plans.get(handler);
    if (!plan) plans.set(handler, (plan = this.create(controller, handler)));
    return plan;
  }

  private create(controller: Type, handler: Handler): readonly PlannedPolicy[] {
    const where = `@RateLimit on ${controller.name}.${handler.name}`;
    const onClass = this.declared(controller, where);
    const onMethod = this.declared(handler, where);
    const outer = onClass ?? (onMethod ? [] : this.options.defaultPolicies);
    const applied = new Map<string, RoutePolicy>();
    for (const policy of this.withoutSkipped(outer, controller)) applied.set(policy.name, policy);
    for (const policy of onMethod ?? []) applied.set(policy.name, policy);
    const plan = this.withoutSkipped([...applied.values()], handler).map((policy) => ({
      policy: resolvePolicy(policy, this.options.onError, counterName(policy, controller, handler)),
      key: policy.key ?? 'ip',
    }));
    // Throws for policies that cannot be asked together.
    if (plan.length > 0) assertPolicies(plan.map(({ policy }) => policy));
    return plan;
  }

  private declared(target: Type | Handler, where: string): RoutePolicy[] | undefined {
    const references = this.reflector.get<readonly RoutePolicyReference[] | undefined>(
      RATE_LIMIT_METADATA,
      target,
    );
    return references && resolveReferences(references, this.options.policies, where);
  }

  private withoutSkipped(policies: readonly RoutePolicy[], target: Type | Handler): readonly RoutePolicy[] {
    const skipped = this.reflector.get<SkippedPolicies | undefined>(SKIP_RATE_LIMIT_METADATA, target);
    if (skipped === 'all') return [];
    return skipped ? policies.filter(({ name }) => !skipped.includes(name)) : policies;
  }
}

/** A policy name holds no slash, so the counters of different scopes never meet. */
function counterName({ name, scope = 'global' }: RoutePolicy, controller: Type, handler: Handler): string {
  if (scope === 'global') return name;
  return scope === 'class' ? `${controller.name}/${name}` : `${controller.name}.${handler.name}/${name}`;
}
