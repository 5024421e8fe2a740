import { systemClock } from '../common/index.js';
import type { WakeUpChannel } from '../redis/index.js';
import type { Demand } from './decision.js';
import { encodeIdentity, type RateLimitId } from './identity.js';
import { OutboundLimitError } from './outbound.errors.js';
import {
  resolveMaxWait,
  resolvePause,
  type OutboundCallOptions,
  type OutboundStatus,
  type ResolvedOutboundLimit,
} from './outbound.options.js';
import { discard, refusalOf } from './outbound-refusal.js';
import { PacedLine } from './outbound-paced-line.js';
import type { PolicyEvaluator } from './policy-evaluator.js';
import type { PolicySet } from './policy-set.js';
import { RateLimitExceededError, RateLimitUnavailableError } from './rate-limit.errors.js';
import { WaitingRoom } from './waiting-room.js';

/** What an {@link OutboundLimiter} is built from. */
export interface OutboundLimiterInit {
  readonly limit: ResolvedOutboundLimit;
  readonly set: PolicySet;
  readonly evaluator: PolicyEvaluator;
  /** Asked for with the first call that waits for a reserved turn, or a refusal. */
  readonly wakeUps: () => WakeUpChannel;
}

/**
 * Keeps the calls of all processes within a provider's limit, each identity for itself: never more than `limit`
 * in any span of the window. When the provider refuses a call all the same, calls for that identity pause in all
 * processes for as long as it says.
 *
 * While Redis does not answer, `onError` applies: with `local` this process keeps to its share.
 *
 * @example
 * const maps = await this.maps.run(tenantId, (signal) => fetch(url, { signal }));
 */
export class OutboundLimiter {
  private readonly waiting: WaitingRoom;
  private readonly line: PacedLine;

  /** @internal Inject it with `InjectOutbound`. */
  constructor(private readonly init: OutboundLimiterInit) {
    this.waiting = new WaitingRoom(init.evaluator);
    this.line = new PacedLine(init.evaluator, init.wakeUps);
  }

  /** Name of the provider. */
  get name(): string {
    return this.init.limit.name;
  }

  /**
   * Makes a call when it is its turn. One round trip when there is room, or, with `pace`, in any case.
   *
   * The result, or the error, may be a provider's answer of status 429, or 503 with `Retry-After`: then the call
   * ends with `OutboundLimitError`, and others wait for as long as `Retry-After` or `RateLimit` says. The call is
   * not repeated.
   *
   * @param id whose calls the provider counts together, such as the tenant
   * @throws {OutboundLimitError} when there is no room within `maxWait`, or the provider refuses
   * @throws {RateLimitUnavailableError} when Redis does not answer and the limiter is `closed`
   * @throws the reason of `signal` when it is aborted while waiting
   * @throws what `task` throws
   */
  async run<T>(
    id: RateLimitId,
    task: (signal: AbortSignal | undefined) => Promise<T>,
    options: OutboundCallOptions = {},
  ): Promise<T> {
    await this.acquire(id, options);
    let result: T;
    try {
      result = await task(options.signal);
    } catch (error) {
      await this.endIfRefused(id, error, error);
      throw error;
    }
    await this.endIfRefused(id, result);
    return result;
  }

  /**
   * Takes a turn, for callers that make the call themselves. Report refusals to {@link pause}.
   *
   * @throws the errors of {@link run}, without those of the task
   */
  async acquire(id: RateLimitId, { maxWait, signal }: OutboundCallOptions = {}): Promise<void> {
    const { limit, evaluator } = this.init;
    const maxWaitMs = maxWait === undefined ? limit.maxWaitMs : resolveMaxWait(maxWait);
    signal?.throwIfAborted();
    const demand = this.demand(id);
    try {
      if (maxWaitMs > 0) {
        await (limit.isPaced ? this.line : this.waiting).acquire(demand, maxWaitMs, signal);
        return;
      }
      const decision = await evaluator.evaluate('consume', [demand]);
      if (!decision.allowed) throw new RateLimitExceededError(decision);
    } catch (error) {
      throw error instanceof RateLimitExceededError ? this.refused(error) : error;
    }
  }

  /**
   * Tells what a call would find now, and counts nothing. One round trip.
   *
   * @throws {RateLimitUnavailableError} when Redis does not answer and the limiter is `closed`
   */
  async peek(id: RateLimitId): Promise<OutboundStatus> {
    const { policies, retryAfterMs } = await this.init.evaluator.evaluate('peek', [this.demand(id)]);
    // Without one, Redis is away and the limiter is `open`.
    const { remaining = Infinity, resetMs = 0, blocked: isPaused = false } = policies[0] ?? {};
    return { remaining, retryAfterMs, resetMs, isPaused };
  }

  /**
   * Lets nobody call for a while, in all processes, because the provider has refused. Two round trips.
   * Without Redis it holds for this process alone. A longer pause stays as it is.
   *
   * @param waitMs milliseconds, at most one day
   * @throws {ConfigurationError} when `waitMs` is not a number of them
   */
  async pause(id: RateLimitId, waitMs: number = this.init.limit.pauseMs): Promise<void> {
    const amountUs = resolvePause(waitMs) * 1000;
    const demand = this.demand(id);
    try {
      await this.init.evaluator.adjust({ kind: 'pause', amountUs }, demand);
      await this.line.wake(demand);
    } catch (error) {
      // Whoever is closed without Redis calls nobody meanwhile.
      if (!(error instanceof RateLimitUnavailableError)) throw error;
    }
  }

  private demand(id: RateLimitId): Demand {
    return { identity: encodeIdentity(id), set: this.init.set, cost: 1 };
  }

  private async endIfRefused(id: RateLimitId, answer: unknown, cause?: unknown): Promise<void> {
    const refusal = refusalOf(answer, systemClock.now());
    if (!refusal) return;
    if (cause === undefined) discard(answer);
    const waitMs = refusal.retryAfterMs ?? this.init.limit.pauseMs;
    await this.pause(id, waitMs);
    throw new OutboundLimitError(this.name, waitMs, 'provider', { cause });
  }

  private refused(error: RateLimitExceededError): OutboundLimitError {
    const { retryAfterMs, policies } = error.decision;
    const reason = policies.some(({ blocked }) => blocked) ? 'provider' : 'limit';
    return new OutboundLimitError(this.name, retryAfterMs, reason, { cause: error });
  }
}
