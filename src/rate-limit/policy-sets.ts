import { LRUCache } from 'lru-cache';
import { SingleFlight, systemClock, type Clock } from '../common/index.js';
import type { RateLimitId } from './identity.js';
import { PolicySet } from './policy-set.js';
import type { Policy, PolicyLimits, RateLimitOnError } from './policy.js';
import { resolvePolicy, type ResolvedPolicy } from './resolved-policy.js';
import { sleep } from './sleep.js';

/** Identities whose limits are remembered, over all policies. */
const MAX_RESOLVED = 10_000;

/** How long a call waits for a `resolve`; then the limits known before apply. */
const RESOLVE_DEADLINE_MS = 1000;

/** A `resolve` that keeps failing is told of once in this time. */
const REPORT_EVERY_MS = 60_000;

/** What a policy object became, and the variants its `resolve` has asked for. */
interface Known {
  readonly policy: Policy;
  readonly base: ResolvedPolicy;
  readonly variants: Map<string, ResolvedPolicy>;
  /** When a failure was last told of. */
  reportedAtMs: number;
}

/** Settings of {@link PolicySets}. */
export interface PolicySetsOptions {
  readonly onError: RateLimitOnError;
  readonly resolveTtlMs: number;
  /** Name of a policy's counter when it is not the policy's name. */
  readonly counterOf?: (policy: Policy) => string | undefined;
  /**
   * A `resolve` failed, or did not answer in time; the limits known before, or those of the policy, apply. Told once
   * a minute per policy.
   */
  readonly onResolveError: (policy: string, error: unknown) => void;
}

/** Turns the policies of calls into checked sets, once per policy object and list. */
export class PolicySets {
  private readonly known = new WeakMap<Policy, Known>();
  private readonly single = new WeakMap<Policy, PolicySet>();
  private readonly lists = new WeakMap<readonly Policy[], { items: readonly Policy[]; set: PolicySet }>();
  private readonly limits: LRUCache<string, ResolvedPolicy>;
  private readonly flights = new SingleFlight();
  private nextId = 0;
  private readonly ids = new WeakMap<Policy, number>();

  constructor(
    private readonly options: PolicySetsOptions,
    private readonly clock: Clock = systemClock,
  ) {
    this.limits = new LRUCache({
      max: MAX_RESOLVED,
      ttl: options.resolveTtlMs,
      // They apply until `resolve` has answered.
      allowStale: true,
      noDeleteOnStaleGet: true,
    });
  }

  /**
   * The set for a call. A promise only while a policy's `resolve` is asked.
   *
   * @throws {ConfigurationError} when a policy, or the list, cannot be used
   */
  get(id: RateLimitId, policies: Policy | readonly Policy[]): PolicySet | Promise<PolicySet> {
    const set = isList(policies) ? this.ofList(policies) : this.ofPolicy(policies);
    return set.policies.some(({ resolve }) => resolve !== undefined) ? this.resolveAll(id, policies) : set;
  }

  private ofPolicy(policy: Policy): PolicySet {
    let set = this.single.get(policy);
    if (!set) this.single.set(policy, (set = new PolicySet([this.knownOf(policy).base])));
    return set;
  }

  private ofList(policies: readonly Policy[]): PolicySet {
    const kept = this.lists.get(policies);
    // A list that was changed since is another list.
    if (kept && sameItems(kept.items, policies)) return kept.set;
    const set = new PolicySet(policies.map((policy) => this.knownOf(policy).base));
    this.lists.set(policies, { items: [...policies], set });
    return set;
  }

  private knownOf(policy: Policy): Known {
    let known = this.known.get(policy);
    if (!known) {
      known = {
        policy,
        base: resolvePolicy(policy, this.options.onError, this.options.counterOf?.(policy)),
        variants: new Map(),
        reportedAtMs: -Infinity,
      };
      this.known.set(policy, known);
    }
    return known;
  }

  private resolveAll(id: RateLimitId, policies: Policy | readonly Policy[]): PolicySet | Promise<PolicySet> {
    const list = isList(policies) ? policies : [policies];
    const resolved = list.map((policy) => this.resolveOne(id, policy));
    if (resolved.every((item): item is ResolvedPolicy => !(item instanceof Promise))) {
      return new PolicySet(resolved);
    }
    return Promise.all(resolved.map(async (item) => item)).then((all) => new PolicySet(all));
  }

  private resolveOne(id: RateLimitId, policy: Policy): ResolvedPolicy | Promise<ResolvedPolicy> {
    const known = this.knownOf(policy);
    if (!known.base.resolve) return known.base;
    const key = JSON.stringify([this.idOf(policy), id]);
    const fresh = this.limits.has(key);
    const before = this.limits.get(key);
    if (fresh && before) return before;
    return this.flights.run(key, () => this.ask(id, known, key, before ?? known.base));
  }

  /** The new limits or, when they do not come in time, those before: until they do, and for no longer than others. */
  private async ask(
    id: RateLimitId,
    known: Known,
    key: string,
    before: ResolvedPolicy,
  ): Promise<ResolvedPolicy> {
    const over = new AbortController();
    const deadline = sleep(RESOLVE_DEADLINE_MS, over.signal).catch(() => undefined);
    const answer = this.load(id, known, key, before);
    const inTime = await Promise.race([answer, deadline]);
    over.abort();
    if (inTime) return inTime;
    this.limits.set(key, before);
    this.report(known, new Error(`no answer within ${RESOLVE_DEADLINE_MS} ms`));
    return before;
  }

  private async load(
    id: RateLimitId,
    known: Known,
    key: string,
    before: ResolvedPolicy,
  ): Promise<ResolvedPolicy> {
    let resolved = before;
    try {
      const limits = await known.base.resolve!(id);
      resolved = this.variant(known, limits);
    } catch (error) {
      this.report(known, error);
    }
    this.limits.set(key, resolved);
    return resolved;
  }

  private report(known: Known, error: unknown): void {
    const nowMs = this.clock.monotonicMs();
    if (nowMs - known.reportedAtMs < REPORT_EVERY_MS) return;
    known.reportedAtMs = nowMs;
    this.options.onResolveError(known.base.name, error);
  }

  private variant({ policy, base, variants }: Known, limits: PolicyLimits | undefined): ResolvedPolicy {
    if (!limits) return base;
    const { limit = policy.limit, window = policy.window, burst = policy.burst } = limits;
    const key = `${limit}/${window}/${burst}`;
    let variant = variants.get(key);
    if (!variant) {
      variant = resolvePolicy(
        { ...policy, limit, window, burst },
        this.options.onError,
        this.options.counterOf?.(policy),
      );
      if (variants.size < MAX_RESOLVED) variants.set(key, variant);
    }
    return variant;
  }

  private idOf(policy: Policy): number {
    let id = this.ids.get(policy);
    if (id === undefined) this.ids.set(policy, (id = this.nextId++));
    return id;
  }
}

function isList(policies: Policy | readonly Policy[]): policies is readonly Policy[] {
  return Array.isArray(policies);
}

function sameItems(a: readonly Policy[], b: readonly Policy[]): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index += 1) if (a[index] !== b[index]) return false;
  return true;
}
