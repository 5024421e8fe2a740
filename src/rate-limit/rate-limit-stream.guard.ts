import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { PostAuthLimiter } from './post-auth-limiter.js';
import { whenClosed } from './response-closed.js';
import type { RoutePlan } from './route-plan.js';

/**
 * Does for streams of events (`Sse`) what `RateLimitInterceptor` does for other requests after authentication:
 * policies of stage `post-auth` and slots of `Concurrency`. Nest sends the head of a stream, with status 200, a
 * millisecond after it asked the interceptors; only a guard can refuse one with a status of its own. Bind it
 * after the guards that authenticate; the start fails when a stream needs it and it is not bound. Costs nothing
 * on other handlers.
 *
 * @example
 * `@Module({ providers: [
 *   { provide: APP_GUARD, useClass: RateLimitGuard },
 *   { provide: APP_GUARD, useClass: AuthGuard },
 *   { provide: APP_GUARD, useClass: RateLimitStreamGuard },
 * ] })`
 */
@Injectable()
export class RateLimitStreamGuard extends PostAuthLimiter implements CanActivate {
  /** Lets a stream begin, or calls `respond`. Its slots are free again when the response is closed. */
  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const plan = this.planOf(context);
    const isLimited = plan?.isStream && plan.postAuth.length + plan.slots.length > 0;
    return isLimited ? this.begin(context, plan) : true;
  }

  private async begin(context: ExecutionContext, plan: RoutePlan): Promise<boolean> {
    const over = new AbortController();
    void whenClosed(context).then(() => over.abort());
    try {
      await this.admit(context, plan, over.signal);
    } catch (error) {
      // The client left while it waited for a slot: there is nobody to answer.
      if (error === over.signal.reason) return false;
      throw error;
    }
    return true;
  }
}
