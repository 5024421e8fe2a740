import { Inject, Injectable, Logger } from '@nestjs/common';
import { resolveDuration, type Duration } from '../common/index.js';
import type { ConcurrencyOptions, ConcurrencyPolicy, ConcurrencySlot } from './concurrency.js';
import { ConcurrencyLimiter } from './concurrency-limiter.js';
import { assertDemands, type Demand, type RateLimitDecision } from './decision.js';
import { encodeIdentity, type RateLimitId } from './identity.js';
import type {
  RateLimitAcquireOptions,
  RateLimitConsumeOptions,
  RateLimitDemand,
  RateLimitWrapOptions,
} from './limiter-calls.js';
import type { Change, EvaluationMode } from './local/local-limiter.js';
import { PolicyEvaluator } from './policy-evaluator.js';
import { assertBlocks, assertPoints, type PolicySet } from './policy-set.js';
import { PolicySets } from './policy-sets.js';
import type { Policy } from './policy.js';
import { RateLimitExceededError } from './rate-limit.errors.js';
import type { ResolvedRateLimitOptions } from './rate-limit.options.js';
import { RATE_LIMIT_OPTIONS } from './rate-limit.tokens.js';
import type { RateLimitReceipt } from './receipt.js';
import { WaitingRoom } from './waiting-room.js';

/** Whether Redis decides; see {@link RateLimiter.status}. */
export interface RateLimitStatus {
  /** `local`: this process decides alone, as `onError` of the policies says. */
  readonly source: 'redis' | 'local';
  /** Milliseconds since Redis stopped to decide; 0 while it does. */
  readonly awayForMs: number;
}

type Policies = Policy | readonly Policy[];

const DEFAULT_MAX_WAIT = '30s';
const MAX_WAIT_MS = 86_400_000;

/**
 * Counts requests against limits shared by all processes. All policies of a call are taken in one
 * script: all of them, or none.
 *
 * While Redis does not answer within the module's `timeout`, each policy's `onError` applies: calls resolve
 * with `source: 'local'` or `'open'`, or reject when a policy says `'closed'`. Only the first such call
 * waits; nothing is ever sent twice.
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
  private readonly sets: PolicySets;
  private readonly waiting: WaitingRoom;

  constructor(
    @Inject(RATE_LIMIT_OPTIONS) options: ResolvedRateLimitOptions,
    private readonly evaluator: PolicyEvaluator,
    private readonly slots: ConcurrencyLimiter,
  ) {
    const logger = new Logger('RateLimiter');
    this.sets = new PolicySets({
      onError: options.onError,
      resolveTtlMs: options.resolveTtlMs,
      onResolveError: (policy) =>
        logger.warn(`"resolve" of rate limit policy "${policy}" failed; the limits known before apply`),
    });
    this.waiting = new WaitingRoom(evaluator);
  }

  /** Whether Redis decides, for health checks and metrics. No round trip. */
  get status(): RateLimitStatus {
    const { awayForMs } = this.evaluator;
    return { source: awayForMs > 0 ? 'local' : 'redis', awayForMs: Math.round(awayForMs) };
  }

  /**
   * Takes the cost from every policy, or nothing when one has no room. One round trip; a refusal
   * writes nothing, and none is made while an earlier refusal still holds. Never sent twice: a call whose
   * answer was lost may have counted.
   *
   * @throws {ConfigurationError} when the identity, a policy or the cost cannot be used; a cost above
   * a limit is one, because no wait would let it through
   * @throws {RateLimitUnavailableError} when Redis does not answer and a policy is `closed`
   */
  consume(
    id: RateLimitId,
    policies: Policies,
    options?: RateLimitConsumeOptions,
  ): Promise<RateLimitDecision> {
    return this.evaluate('consume', id, policies, options);
  }

  /**
   * As {@link consume}, for several identities: all of them, or none. One round trip. On a Cluster, where
   * identities live on different servers, it is one per server, and what the earlier ones took is given
   * back when a later one refuses; in between, others may find it taken.
   *
   * @throws {ConfigurationError} for no demand, more than 16, or two of one policy and identity
   * @throws the errors of {@link consume}
   * @example
   * await limiter.consumeAll([{ id: ['ip', ip], policies: burst }, { id: ['tenant', tenant], policies: plan }]);
   */
  async consumeAll(demands: readonly RateLimitDemand[]): Promise<RateLimitDecision> {
    const resolved = demands.map(async ({ id, policies, cost }) => this.demand(id, policies, cost));
    const all = await Promise.all(resolved);
    assertDemands(all);
    return this.evaluator.evaluate('consume', all);
  }

  /**
   * As {@link consume}, for callers who prefer an exception to a refusal.
   *
   * @throws {RateLimitExceededError} when a policy has no room
   * @throws the errors of {@link consume}
   */
  async enforce(
    id: RateLimitId,
    policies: Policies,
    options?: RateLimitConsumeOptions,
  ): Promise<RateLimitDecision> {
    const decision = await this.consume(id, policies, options);
    if (!decision.allowed) throw new RateLimitExceededError(decision);
    return decision;
  }

  /**
   * As {@link enforce}, but waits for room. When all policies are `gcra`, one round trip reserves the next
   * free moment, in the order of arrival over all processes, at most one window ahead. Otherwise the callers
   * of this process wait in line, and the first of them asks again when there should be room.
   *
   * @throws {RateLimitExceededError} when there is no room within `maxWait`: at once if that is known
   * @throws the reason of `signal` when it is aborted
   * @throws {RedisUnavailableError} when the application stops while it waits
   * @throws the errors of {@link consume}
   */
  async acquire(
    id: RateLimitId,
    policies: Policies,
    options: RateLimitAcquireOptions = {},
  ): Promise<RateLimitDecision> {
    const maxWaitMs = resolveDuration(options.maxWait ?? DEFAULT_MAX_WAIT, 'maxWait', {
      minMs: 0,
      maxMs: MAX_WAIT_MS,
    });
    const demand = await this.demand(id, policies, options.cost);
    return this.waiting.acquire(demand, maxWaitMs, options.signal);
  }

  /**
   * Tells what {@link consume} would answer, and counts nothing. One round trip.
   *
   * @throws the errors of {@link consume}
   */
  peek(id: RateLimitId, policies: Policies, options?: RateLimitConsumeOptions): Promise<RateLimitDecision> {
    return this.evaluate('peek', id, policies, options);
  }

  /**
   * Gives back what a call took: once, and each policy only as long as it still counts that call. One
   * round trip, never repeated.
   *
   * @returns whether it was given back; `false` when it was before, or Redis does not answer
   */
  refund(receipt: RateLimitReceipt): Promise<boolean> {
    return this.evaluator.refund(receipt);
  }

  /**
   * Gives units back that were taken at any time, never more than are counted. One round trip.
   *
   * @throws the errors of {@link consume}
   */
  reward(id: RateLimitId, policy: Policy, points = 1): Promise<RateLimitDecision> {
    return this.change({ kind: 'reward', amount: assertPoints(points) }, id, policy);
  }

  /**
   * Takes units whether there is room or not, for example after a failed login. One round trip.
   *
   * @throws the errors of {@link consume}
   */
  penalize(id: RateLimitId, policy: Policy, points = 1): Promise<RateLimitDecision> {
    return this.change({ kind: 'penalize', amount: assertPoints(points) }, id, policy);
  }

  /**
   * Refuses an identity for a while, whatever was counted. One round trip. The policy needs a `block`;
   * `{ for: 'manual' }` is enough.
   *
   * @throws {ConfigurationError} when the policy has no `block`
   * @throws the errors of {@link consume}
   */
  async block(id: RateLimitId, policy: Policy, length: Duration): Promise<void> {
    const amountUs = resolveDuration(length, 'length', { maxMs: 31 * 86_400_000 }) * 1000;
    const demand = await this.demand(id, policy, undefined);
    assertBlocks(demand.set);
    await this.evaluator.adjust({ kind: 'block', amountUs }, demand);
  }

  /**
   * Forgets what the policies counted for an identity, blocks included. One round trip.
   *
   * @throws {RateLimitUnavailableError} when Redis does not answer, whatever `onError` says: the
   * counters may still be there
   */
  async reset(id: RateLimitId, policies: Policies): Promise<void> {
    await this.change({ kind: 'reset' }, id, policies);
  }

  /**
   * Runs `task` if there is room, and gives back what was taken when its outcome is not to be counted. What
   * is taken beforehand also holds against many attempts at the same time.
   *
   * @throws {RateLimitExceededError} when a policy has no room; `task` was not run
   * @throws what `task` throws
   * @example
   * await limiter.wrap(['login', name], attempts, () => auth.login(name, password), { countOnly: 'failures' });
   */
  async wrap<T>(
    id: RateLimitId,
    policies: Policies,
    task: () => Promise<T>,
    options: RateLimitWrapOptions = {},
  ): Promise<T> {
    const { receipt } = await this.enforce(id, policies, options);
    const giveBack = async (): Promise<void> => {
      if (receipt) await this.refund(receipt);
    };
    let value: T;
    try {
      value = await task();
    } catch (error) {
      if (options.countOnly === 'successes') await giveBack();
      throw error;
    }
    if (options.countOnly === 'failures') await giveBack();
    return value;
  }

  /**
   * Takes one of `limit` slots for as long as something runs. The slot is leased and renewed; when this
   * process dies it is free again after `lease`. One round trip to take it, one to release it, one per
   * third of the lease while it is held.
   *
   * @throws {ConcurrencyExceededError} when all slots are taken and none comes free within `maxWait`
   * @throws {RateLimitUnavailableError} when Redis does not answer and the policy is `closed`
   * @throws the reason of `signal` when it is aborted
   * @example
   * await using slot = await limiter.concurrency(['tenant', id], { name: 'exports', limit: 4, lease: '30s' });
   * await exportAll(slot.signal);
   */
  concurrency(
    id: RateLimitId,
    policy: ConcurrencyPolicy,
    options?: ConcurrencyOptions,
  ): Promise<ConcurrencySlot> {
    return this.slots.acquire(id, policy, options);
  }

  private evaluate(
    mode: EvaluationMode,
    id: RateLimitId,
    policies: Policies,
    options: RateLimitConsumeOptions | undefined,
  ): Promise<RateLimitDecision> {
    try {
      const demand = this.demand(id, policies, options?.cost);
      return demand instanceof Promise
        ? demand.then((resolved) => this.evaluator.evaluate(mode, [resolved]))
        : this.evaluator.evaluate(mode, [demand]);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  private async change(change: Change, id: RateLimitId, policies: Policies): Promise<RateLimitDecision> {
    return this.evaluator.adjust(change, await this.demand(id, policies, undefined));
  }

  /** A promise only when a policy's `resolve` has to be asked. */
  private demand(
    id: RateLimitId,
    policies: Policies,
    cost: RateLimitConsumeOptions['cost'],
  ): Demand | Promise<Demand> {
    const identity = encodeIdentity(id);
    const set = this.sets.get(id, policies);
    return set instanceof Promise
      ? set.then((resolved) => toDemand(identity, resolved, cost))
      : toDemand(identity, set, cost);
  }
}

function toDemand(identity: string, set: PolicySet, cost: RateLimitConsumeOptions['cost'] = 1): Demand {
  const units = typeof cost === 'object' && cost !== null ? set.costs(cost) : cost;
  set.assertCost(units);
  return { identity, set, cost: units };
}
