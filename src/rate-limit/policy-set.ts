import { ConfigurationError, resolveWholeNumber } from '../common/index.js';
import type { ResolvedPolicy } from './resolved-policy.js';

/** Most policies one call may name; bounds the work of the script. */
export const MAX_POLICIES = 16;

/** What one policy takes of a call. */
export type Cost = number | readonly number[];

/** Policies that are evaluated together for one identity. Built once per list and kept. */
export class PolicySet {
  /** Most units a call may take of every policy. */
  readonly capacity: number;
  /** Tells sets apart that would answer differently. */
  readonly signature: string;
  /** Whether refusals may be remembered: not while each one counts towards a block. */
  readonly isCacheable: boolean;
  readonly hasClosed: boolean;
  readonly hasShadow: boolean;
  /** The policies that are decided locally without Redis: this set, a smaller one, or none. */
  readonly local: PolicySet | undefined;

  /** @throws {ConfigurationError} when there is no policy, too many, or two of one counter */
  constructor(readonly policies: readonly ResolvedPolicy[]) {
    assertPolicies(policies);
    this.capacity = Math.min(...policies.map(({ capacity }) => capacity));
    this.signature = policies
      .map(({ keySuffix, kind, limit, windowUs, param }) => [keySuffix, kind, limit, windowUs, param].join())
      .join('|');
    this.isCacheable = policies.every(({ block }) => block === undefined || block.after === 1);
    this.hasClosed = policies.some(({ onError }) => onError === 'closed');
    this.hasShadow = policies.some(({ shadow }) => shadow);
    const local = policies.filter(({ onError }) => onError === 'local');
    this.local =
      local.length === policies.length ? this : local.length > 0 ? new PolicySet(local) : undefined;
  }

  /**
   * Checks what one call takes of the set.
   *
   * @throws {ConfigurationError} when a cost is not a whole number from 1 to what its policy can ever let
   * through
   */
  assertCost(cost: Cost): void {
    if (typeof cost === 'number') {
      // NaN fails all comparisons.
      if (cost >= 1 && cost <= this.capacity && Number.isInteger(cost)) return;
      for (const policy of this.policies) assertUnits(policy, cost);
      return;
    }
    for (const [index, policy] of this.policies.entries()) assertUnits(policy, cost[index]!);
  }

  /** Costs by policy name, as a list in the order of the set. */
  costs(byName: Readonly<Record<string, number>>): readonly number[] {
    const unknown = Object.keys(byName).find((name) => !this.policies.some((policy) => policy.name === name));
    if (unknown !== undefined) {
      throw new ConfigurationError(`Option "cost" names "${unknown}", which is not a policy of the call`);
    }
    return this.policies.map(({ name }) => byName[name] ?? 1);
  }
}

/** @throws {ConfigurationError} when there is no policy, too many, or two of one counter */
export function assertPolicies(policies: readonly ResolvedPolicy[]): void {
  if (policies.length === 0 || policies.length > MAX_POLICIES) {
    throw new ConfigurationError(
      `A rate limit call names ${policies.length} policies; give 1 to ${MAX_POLICIES}`,
    );
  }
  if (new Set(policies.map(({ counter }) => counter)).size < policies.length) {
    throw new ConfigurationError(
      'A rate limit call names two policies of the same name; give them different names',
    );
  }
}

function assertUnits({ name, capacity }: ResolvedPolicy, cost: number): void {
  if (resolveWholeNumber(cost, 'cost') > capacity) {
    throw new ConfigurationError(
      `Option "cost" is ${cost}, above the limit ${capacity} of policy "${name}": no wait would let it through`,
    );
  }
}

/** @throws {ConfigurationError} when one of the policies cannot block */
export function assertBlocks({ policies }: PolicySet): void {
  const without = policies.find(({ block }) => block === undefined);
  if (!without) return;
  throw new ConfigurationError(
    `Rate limit policy "${without.name}" cannot block; give it "block", for example { for: 'manual' }`,
  );
}

/** @throws {ConfigurationError} when the value is not a whole number from 1 to 1,000,000,000 */
export function assertPoints(points: number): number {
  return resolveWholeNumber(points, 'points', { max: 1_000_000_000 });
}
