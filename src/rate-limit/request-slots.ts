import { Inject, Injectable, type ExecutionContext } from '@nestjs/common';
import { finished, type Writable } from 'node:stream';
import type { ConcurrencySlot } from './concurrency.js';
import { ConcurrencyLimiter } from './concurrency-limiter.js';
import { adapterOf } from './context-adapter.js';
import { objectOf } from './context-values.js';
import { RequestIdentities, type Tracker } from './request-identity.js';
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
   * Takes one slot of each, or none.
   *
   * @returns what to call when the handler has ended; the slots are released once the response is closed as well
   * @throws {ConcurrencyExceededError} when one has none left
   * @throws {RateLimitUnavailableError} when Redis does not answer and one is `closed`
   */
  async take(
    context: ExecutionContext,
    planned: readonly PlannedSlots[],
    tracker: Tracker,
  ): Promise<() => void> {
    const slots: ConcurrencySlot[] = [];
    try {
      for (const { key, policy, scope, maxWait } of planned) {
        const id = this.identities.find(context, key, tracker);
        if (id === undefined) continue;
        const scoped = scope === undefined ? id : [...id, scope];
        slots.push(await this.limiter.acquire(scoped, policy, { maxWait }));
      }
    } catch (error) {
      release(slots);
      throw error;
    }
    const closed = whenClosed(context);
    return () => void closed.then(() => release(slots));
  }
}

/** A release never rejects. */
function release(slots: readonly ConcurrencySlot[]): void {
  for (const slot of slots) void slot.release();
}

/** Resolves when the response is complete or its client is gone; at once where there is no response. */
function whenClosed(context: ExecutionContext): Promise<void> {
  const response = objectOf(adapterOf(context)?.response(context));
  const raw = objectOf(response?.['raw']) ?? response;
  if (typeof raw?.['once'] !== 'function') return Promise.resolve();
  return new Promise((resolve) => {
    finished(raw as unknown as Writable, { readable: false }, () => resolve());
  });
}
