import { RedisCallError, type WakeUpChannel } from '../redis/index.js';
import type { Demand, RateLimitDecision } from './decision.js';
import type { Ending } from './ending.js';
import type { PolicyEvaluator } from './policy-evaluator.js';
import { RateLimitExceededError } from './rate-limit.errors.js';

/**
 * The line in front of a paced limit. Each call reserves its turn with one round trip, in the order of arrival at
 * Redis, and sleeps until then. A pause of the provider wakes all sleepers: their turns are void, and they line
 * up anew behind it.
 *
 * @internal
 */
export class PacedLine {
  constructor(
    private readonly evaluator: PolicyEvaluator,
    private readonly wakeUps: () => WakeUpChannel,
  ) {}

  /** Resolves when it is the call's turn; rejects when the application ends. */
  async acquire(demand: Demand, maxWaitMs: number, signal?: AbortSignal): Promise<RateLimitDecision> {
    const ending = this.evaluator.endingOf(signal);
    const endsAtMs = performance.now() + maxWaitMs;
    // A reservation lies at most one window ahead; beyond, the script would not keep it.
    const furthestMs = Math.min(...demand.set.policies.map(({ windowMs }) => windowMs));
    for (;;) {
      ending.throwIfEnded();
      const restMs = Math.max(0, endsAtMs - performance.now());
      const aheadMs = Math.min(restMs, furthestMs);
      const decision = await this.evaluator.evaluate('reserve', [demand], Math.floor(aheadMs * 1000));
      const isBlocked = decision.policies.some(({ blocked }) => blocked);
      if (decision.allowed) {
        if (await this.untilItsTurn(demand, decision, ending)) return decision;
      } else if (decision.retryAfterMs > restMs) {
        throw new RateLimitExceededError(decision);
      } else {
        await ending.sleep(isBlocked ? decision.retryAfterMs : Math.max(1, decision.retryAfterMs - aheadMs));
      }
    }
  }

  /** Tells all who sleep that their turns are void. What cannot be told is found out by the next refusal. */
  async wake(demand: Demand): Promise<void> {
    try {
      await this.wakeUps().wake(nameOf(demand), { deadlineMs: 250 });
    } catch (error) {
      if (!(error instanceof RedisCallError)) throw error;
    }
  }

  /** `false`: a pause has come, and the turn was given back. */
  private async untilItsTurn(demand: Demand, decision: RateLimitDecision, ending: Ending): Promise<boolean> {
    if (decision.retryAfterMs === 0) return true;
    const turnAtMs = performance.now() + decision.retryAfterMs;
    const listener = this.wakeUps().listen(nameOf(demand));
    const leave = ending.follow(() => listener.close());
    try {
      for (;;) {
        const deadlineMs = Math.ceil(turnAtMs - performance.now());
        if (deadlineMs <= 0) return true;
        const isWoken = await listener.wait({ deadlineMs });
        ending.throwIfEnded();
        if (isWoken && (await this.isPaused(demand))) break;
      }
    } catch (error) {
      await this.giveBack(decision);
      throw error;
    } finally {
      leave();
      listener.close();
    }
    await this.giveBack(decision);
    return false;
  }

  private async isPaused(demand: Demand): Promise<boolean> {
    const { policies } = await this.evaluator.evaluate('peek', [demand]);
    return policies.some(({ blocked }) => blocked);
  }

  private async giveBack({ receipt }: RateLimitDecision): Promise<void> {
    if (receipt) await this.evaluator.refund(receipt);
  }
}

function nameOf({ identity, set }: Demand): string {
  return `outbound/${set.policies[0]!.name}/${identity}`;
}
