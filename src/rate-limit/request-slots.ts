import { Inject, Injectable, type ExecutionContext } from '@nestjs/common';
import type { ConcurrencySlot } from './concurrency.js';
import { ConcurrencyLimiter } from './concurrency-limiter.js';
import { RequestIdentities, type Tracker } from './request-identity.js';
import { whenClosed } from './response-closed.js';
import type { PlannedSlots } from './route-plan.js';

/**
 * Takes the slots of a request.
 *
 * @internal
 */
@Injectable()
export class RequestSlots {
  constructor(
    @Inject(ConcurrencyLimiter) private readonly limiter: ConcurrencyLimiter,
    @Inject(RequestIdentities) private readonly identities: RequestIdentities,
  ) {}

  /**
   * Takes one slot of each, or none. They are released once `over` is aborted and the response is closed as well; at
   * once when that comes before they are taken.
   *
   * @param over aborted when the handler has ended, or nobody waits for it any more
   * @throws {ConcurrencyExceededError} when one has none left
   * @throws {RateLimitUnavailableError} when Redis does not answer and one is `closed`
   * @throws the reason of `over` when it is aborted before all are taken
   */
  async take(
    context: ExecutionContext,
    planned: readonly PlannedSlots[],
    tracker: Tracker,
    over: AbortSignal,
  ): Promise<void> {
    const slots: ConcurrencySlot[] = [];
    try {
      for (const { key, policy, scope, maxWait } of planned) {
        const id = this.identities.find(context, key, tracker);
        if (id === undefined) continue;
        const scoped = scope === undefined ? id : [...id, scope];
        slots.push(await this.limiter.acquire(scoped, policy, { maxWait, signal: over }));
        over.throwIfAborted();
      }
    } catch (error) {
      release(slots);
      throw error;
    }
    const closed = whenClosed(context);
    over.addEventListener('abort', () => void closed.then(() => release(slots)), { once: true });
  }
}

/** A release never rejects. */
function release(slots: readonly ConcurrencySlot[]): void {
  for (const slot of slots) void slot.release();
}
