import { LRUCache } from 'lru-cache';
import type { RateLimitId } from './identity.js';
import { PolicySet } from './policy-set.js';
import type { Policy, PolicyLimits, RateLimitOnError } from './policy.js';
import { resolvePolicy, type ResolvedPolicy } from './resolved-policy.js';

/** Identities whose limits are remembered, over all policies. */
const MAX_RESOLVED = 10_000;

/** What a policy object became, and the variants its `resolve` has asked for. */
interface Known {
  readonly policy: Policy;
  readonly base: ResolvedPolicy;
  readonly variants: Map<string, ResolvedPolicy>;
}

/** Settings of {@link PolicySets}. */
export interface PolicySetsOptions {
  readonly onError: RateLimitOnError;
  readonly resolveTtlMs: number;
  /** Name of a policy's counter when it is not the policy's name. */
  readonly counterOf?: (policy: Policy) => string | undefined;
  /** A `resolve` failed; the limits known before, or those of the policy, apply. */
  readonly onResolveError: (policy: string, error: unknown) => void;
}

/** Turns the policies of calls into checked sets, once per policy object and list. */
export class PolicySets {
  private readonly known = new WeakMap<Policy, Known>();
  private readonly single = new WeakMap<Policy, PolicySet>();
  private readonly lists = new WeakMap<readonly Policy[], { items: readonly Policy[]; set: PolicySet }>();
  private readonly limits: LRUCache<string, ResolvedPolicy>;
  /** The same without an end, for when `resolve` fails. */
  private nextId = 0;
  private readonly ids = new WeakMap<Policy, number>();

  constructor(private readonly options: PolicySetsOptions) {
    this.limits = new LRUCache({ max: MAX_RESOLVED, ttl: options.resolveTtlMs, allowStale: true });
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
    return this.ask(id, known, key, before ?? known.base);
  }

  private async ask(
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
      this.options.onResolveError(known.base.name, error);
    }
    this.limits.set(key, resolved);
    return resolved;
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
