import { Inject, Injectable, type ExecutionContext } from '@nestjs/common';
import { ConcurrencyExceededError, RateLimitUnavailableError } from './rate-limit.errors.js';
import { RequestLimiter } from './request-limiter.js';
import { RequestOutcomes } from './request-outcomes.js';
import { RequestSlots } from './request-slots.js';
import type { RoutePlan } from './route-plan.js';

/**
 * What comes after authentication: policies of stage `post-auth`, then slots. The interceptor does it for requests
 * that end, the stream guard for streams.
 *
 * @internal
 */
@Injectable()
export abstract class PostAuthLimiter extends RequestLimiter {
  // Properties, so that the constructor stays that of the base class.
  @Inject(RequestOutcomes) protected readonly outcomes!: RequestOutcomes;
  @Inject(RequestSlots) private readonly slots!: RequestSlots;

  /**
   * Lets the request pass, or refuses it.
   *
   * @param over aborted when the slots are no longer needed
   */
  protected async admit(context: ExecutionContext, plan: RoutePlan, over: AbortSignal): Promise<void> {
    if (plan.postAuth.length > 0) await this.limit(context, plan, plan.postAuth);
    if (plan.slots.length > 0) await this.takeSlots(context, plan, over);
  }

  private async takeSlots(context: ExecutionContext, plan: RoutePlan, over: AbortSignal): Promise<void> {
    try {
      await this.slots.take(context, plan.slots, (own) => this.getTracker(own), over);
    } catch (error) {
      const isRefused =
        error instanceof ConcurrencyExceededError || error instanceof RateLimitUnavailableError;
      // Nothing was done for what the request took.
      if (isRefused || over.aborted) await this.outcomes.giveBack(context, () => true);
      if (!isRefused) throw error;
      return this.refuse(context, error);
    }
  }
}
