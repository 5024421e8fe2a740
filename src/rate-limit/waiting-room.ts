import type { Demand, RateLimitDecision } from './decision.js';
import type { Ending } from './ending.js';
import type { PolicyEvaluator } from './policy-evaluator.js';
import { RateLimitExceededError } from './rate-limit.errors.js';

/**
 * Waits for room. Reserves where the algorithm can; elsewhere the callers of one identity wait in line, so
 * that one of them asks instead of all.
 *
 * @internal
 */
export class WaitingRoom {
  /** The last caller in line, per identity and policies; done when it has its turn behind it. */
  private readonly lines = new Map<string, Promise<unknown>>();

  constructor(private readonly evaluator: PolicyEvaluator) {}

  /** Resolves with an allowed decision, once its time has come. */
  acquire(demand: Demand, maxWaitMs: number, signal?: AbortSignal): Promise<RateLimitDecision> {
    const ending = this.evaluator.endingOf(signal);
    const wait = new Wait(this.evaluator, demand, performance.now() + maxWaitMs, ending);
    return isReservable(demand) ? wait.reserve() : this.inLine(wait, demand);
  }

  private async inLine(wait: Wait, { identity, set }: Demand): Promise<RateLimitDecision> {
    const key = `${identity} ${set.signature}`;
    const before = this.lines.get(key);
    const turn = before ? before.then(() => wait.poll()) : wait.poll();
    const settled = turn.catch(() => undefined);
    this.lines.set(key, settled);
    try {
      // Whoever gives up in line leaves it at once; its turn then ends as soon as it comes.
      return await wait.orGiveUp(turn);
    } finally {
      const forget = (): void => {
        if (this.lines.get(key) === settled) this.lines.delete(key);
      };
      void settled.then(forget);
    }
  }
}

/** One caller that waits. */
class Wait {
  /** Nobody waits for the turn any more. */
  private hasGivenUp = false;

  constructor(
    private readonly evaluator: PolicyEvaluator,
    private readonly demand: Demand,
    private readonly endsAtMs: number,
    private readonly ending: Ending,
  ) {}

  /** Takes the next moment there is room. */
  async reserve(): Promise<RateLimitDecision> {
    const windowMs = Math.min(...this.demand.set.policies.map((policy) => policy.windowMs));
    for (;;) {
      this.ending.throwIfEnded();
      const aheadMs = Math.min(Math.max(0, this.restMs), windowMs);
      const decision = await this.ask('reserve', Math.floor(aheadMs * 1000));
      if (decision.allowed) return this.untilItsTime(decision);
      if (decision.retryAfterMs > this.restMs) throw new RateLimitExceededError(decision);
      await this.ending.sleep(Math.max(1, decision.retryAfterMs - aheadMs));
    }
  }

  /** Asks again and again, each time when there should be room. */
  async poll(): Promise<RateLimitDecision> {
    for (;;) {
      this.ending.throwIfEnded();
      if (this.hasGivenUp) throw new Error('gave up in line');
      const decision = await this.ask('consume', 0);
      if (decision.allowed) return decision;
      if (decision.retryAfterMs > this.restMs) throw new RateLimitExceededError(decision);
      await this.ending.sleep(decision.retryAfterMs);
    }
  }

  /**
   * Ends with the turn, with the signal, with the application, or with the time: then a look tells what there was
   * to wait for.
   */
  async orGiveUp(turn: Promise<RateLimitDecision>): Promise<RateLimitDecision> {
    const over = new AbortController();
    // Beyond the last answer that `poll` itself would wait for.
    const limit = this.ending.sleep(Math.max(0, this.restMs) + GRACE_MS, over.signal);
    try {
      const first = await Promise.race([turn, limit]);
      if (first) return first;
    } catch (error) {
      this.leave(turn);
      throw error;
    } finally {
      over.abort();
      limit.catch(() => undefined);
    }
    this.leave(turn);
    const decision = await this.ask('peek', 0);
    throw new RateLimitExceededError(decision);
  }

  /** What the turn takes all the same, because it was being asked for, is given back. */
  private leave(turn: Promise<RateLimitDecision>): void {
    this.hasGivenUp = true;
    void turn.then(
      ({ receipt }) => receipt && this.evaluator.refund(receipt),
      () => undefined,
    );
  }

  private async untilItsTime(decision: RateLimitDecision): Promise<RateLimitDecision> {
    if (decision.retryAfterMs === 0) return decision;
    try {
      await this.ending.sleep(decision.retryAfterMs);
      return decision;
    } catch (error) {
      if (decision.receipt) await this.evaluator.refund(decision.receipt);
      throw error;
    }
  }

  private ask(mode: 'consume' | 'peek' | 'reserve', maxWaitUs: number): Promise<RateLimitDecision> {
    return this.evaluator.evaluate(mode, [this.demand], maxWaitUs);
  }

  private get restMs(): number {
    return this.endsAtMs - performance.now();
  }
}

const GRACE_MS = 100;

function isReservable({ set }: Demand): boolean {
  return set.policies.every(({ algorithm, block }) => algorithm === 'gcra' && block === undefined);
}
