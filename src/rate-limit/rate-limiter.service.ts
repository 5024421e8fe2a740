import { Inject, Injectable } from '@nestjs/common';
import type { RateLimitDecision } from './decision.js';
import { encodeIdentity, type RateLimitId } from './identity.js';
import { PolicyEvaluator } from './policy-evaluator.js';
import { resolvePolicy, type Policy, type ResolvedPolicy } from './policy.js';
import { RateLimitExceededError } from './rate-limit.errors.js';
import type { ResolvedRateLimitOptions } from './rate-limit.options.js';
import { RATE_LIMIT_OPTIONS } from './rate-limit.tokens.js';

/** Per-call settings of {@link RateLimiter}. */
export interface RateLimitConsumeOptions {
  /** Units to take from every policy. Whole number, 1 to the smallest limit. @default 1 */
  cost?: number;
}

/**
 * Counts requests against limits shared by all processes. All policies of a call are taken in one
 * script: all of them, or none.
 *
 * While Redis does not answer within the module's `timeout`, calls resolve with
 * `source: 'fallback'`, or reject when a policy says `onError: 'closed'`.
 *
 * @example
 * const decision = await limiter.consume(['tenant', tenantId], [
 *   { name: 'burst', limit: 10, window: '1s' },
 *   { name: 'hour', limit: 1000, window: '1h' },
 * ]);
 * if (!decision.allowed) return retryIn(decision.retryAfterMs);
 */
@Injectable()
export class RateLimiter {
  private readonly resolved = new WeakMap<Policy, ResolvedPolicy>();

  constructor(
    @Inject(RATE_LIMIT_OPTIONS) private readonly options: ResolvedRateLimitOptions,
    private readonly evaluator: PolicyEvaluator,
  ) {}

  /**
   * Takes `cost` from every policy, or nothing when one has no room. One round trip; a refusal
   * writes nothing. Never sent twice: a call whose answer was lost may have counted.
   *
   * @throws {ConfigurationError} when the identity, a policy or the cost cannot be used; a cost above
   * a limit is one, because no wait would let it through
   * @throws {RateLimitUnavailableError} when Redis does not answer and a policy is `closed`
   */
  async consume(
    id: RateLimitId,
    policies: Policy | readonly Policy[],
    options?: RateLimitConsumeOptions,
  ): Promise<RateLimitDecision> {
    return this.evaluate(id, policies, options, true);
  }

  /**
   * As {@link consume}, for callers who prefer an exception to a refusal.
   *
   * @throws {RateLimitExceededError} when a policy has no room
   * @throws the errors of {@link consume}
   */
  async enforce(
    id: RateLimitId,
    policies: Policy | readonly Policy[],
    options?: RateLimitConsumeOptions,
  ): Promise<RateLimitDecision> {
    const decision = await this.consume(id, policies, options);
    if (!decision.allowed) throw new RateLimitExceededError(decision);
    return decision;
  }

  /**
   * Tells what {@link consume} would answer, and counts nothing. One round trip.
   *
   * @throws the errors of {@link consume}
   */
  async peek(
    id: RateLimitId,
    policies: Policy | readonly Policy[],
    options?: RateLimitConsumeOptions,
  ): Promise<RateLimitDecision> {
    return this.evaluate(id, policies, options, false);
  }

  /**
   * Forgets what the policies counted for an identity. One round trip.
   *
   * @throws {RateLimitUnavailableError} when Redis does not answer, whatever `onError` says: the
   * counters may still be there
   */
  async reset(id: RateLimitId, policies: Policy | readonly Policy[]): Promise<void> {
    await this.evaluator.reset(encodeIdentity(id), this.resolve(policies));
  }

  private async evaluate(
    id: RateLimitId,
    policies: Policy | readonly Policy[],
    options: RateLimitConsumeOptions | undefined,
    commit: boolean,
  ): Promise<RateLimitDecision> {
    return this.evaluator.evaluate({
      identity: encodeIdentity(id),
      policies: this.resolve(policies),
      cost: options?.cost ?? 1,
      commit,
    });
  }

  private resolve(policies: Policy | readonly Policy[]): ResolvedPolicy[] {
    const list = Array.isArray(policies) ? (policies as readonly Policy[]) : [policies as Policy];
    return list.map((policy) => {
      let resolved = this.resolved.get(policy);
      if (!resolved) this.resolved.set(policy, (resolved = resolvePolicy(policy, this.options.onError)));
      return resolved;
    });
  }
}
