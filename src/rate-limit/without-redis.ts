import type { RedisCallError } from '../redis/index.js';
import { OPEN_DECISION, toDecision, type Demand, type RateLimitDecision } from './decision.js';
import type { DecisionReporter } from './decision-reporter.js';
import { LocalLimiter, type Change, type EvaluationMode } from './local/local-limiter.js';
import { RateLimitUnavailableError } from './rate-limit.errors.js';
import type { ResolvedRateLimitOptions } from './rate-limit.options.js';

/**
 * Decides while Redis does not, as `onError` of the policies says: `closed` ones refuse, `local` ones are counted in
 * memory by the same algorithms, `open` ones are left out.
 *
 * @internal
 */
export class WithoutRedis {
  private readonly local: LocalLimiter;

  constructor(
    { instances, maxLocalCounters }: Pick<ResolvedRateLimitOptions, 'instances' | 'maxLocalCounters'>,
    private readonly reporter: DecisionReporter,
  ) {
    this.local = new LocalLimiter({ instances, maxCounters: maxLocalCounters });
  }

  /** @throws {RateLimitUnavailableError} when a policy is `closed` */
  evaluate(
    mode: EvaluationMode,
    demands: readonly Demand[],
    maxWaitUs: number,
    cause: RedisCallError,
  ): RateLimitDecision {
    this.refuseIfClosed(demands, cause, mode !== 'peek');
    const own = localPart(demands);
    if (own.length === 0) return this.reporter.report(mode, demands, OPEN_DECISION);
    const reply = this.local.evaluate(mode, own, maxWaitUs);
    return this.reporter.report(mode, demands, toDecision(own, reply, 'local', mode !== 'peek'));
  }

  /** @throws {RateLimitUnavailableError} when a policy is `closed`, and for a reset: Redis may hold what it is about */
  adjust(change: Change, demands: readonly Demand[], cause: RedisCallError): RateLimitDecision {
    if (change.kind === 'reset') throw unavailable(demands, cause);
    this.refuseIfClosed(demands, cause, false);
    const own = localPart(demands);
    if (own.length === 0) return OPEN_DECISION;
    return toDecision(own, this.local.adjust(change, own), 'local', false);
  }

  /** Changes what is counted in memory, whatever Redis does. */
  change(change: Change, demands: readonly Demand[]): void {
    this.local.adjust(change, demands);
  }

  private refuseIfClosed(demands: readonly Demand[], cause: RedisCallError, publish: boolean): void {
    if (!demands.some(({ set }) => set.hasClosed)) return;
    if (publish) this.reporter.reportClosed(demands);
    throw unavailable(demands, cause);
  }
}

/** What of some demands is decided locally. */
function localPart(demands: readonly Demand[]): readonly Demand[] {
  if (demands.every(({ set }) => set.local === set)) return demands;
  return demands.flatMap(({ identity, set, cost }) => {
    if (!set.local) return [];
    const own =
      typeof cost === 'number' ? cost : cost.filter((_, index) => set.policies[index]!.onError === 'local');
    return [{ identity, set: set.local, cost: own }];
  });
}

function unavailable(demands: readonly Demand[], cause: RedisCallError): RateLimitUnavailableError {
  const names = demands.flatMap(({ set }) => set.policies.map(({ name }) => name));
  return new RateLimitUnavailableError(names, { cause });
}
