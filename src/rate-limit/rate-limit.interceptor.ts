import {
  Inject,
  Injectable,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import {
  catchError,
  concat,
  defer,
  EMPTY,
  finalize,
  from,
  mergeMap,
  throwError,
  type Observable,
} from 'rxjs';
import { ConcurrencyExceededError, RateLimitUnavailableError } from './rate-limit.errors.js';
import { RequestLimiter } from './request-limiter.js';
import { RequestOutcomes } from './request-outcomes.js';
import { RequestSlots } from './request-slots.js';
import type { RoutePlan } from './route-plan.js';

/**
 * The part of the limits that comes after authentication: policies of stage `post-auth`, slots of `Concurrency`,
 * and giving back what policies with `countOnly` took. Works on HTTP, GraphQL, WebSocket and microservice
 * messages, and refuses as `RateLimitGuard` does. Costs nothing on routes without any of these. Bind it once.
 *
 * @example
 * `@Module({ providers: [{ provide: APP_INTERCEPTOR, useClass: RateLimitInterceptor }] })`
 */
@Injectable()
export class RateLimitInterceptor extends RequestLimiter implements NestInterceptor {
  // Properties, so that the constructor stays that of the guard.
  @Inject(RequestOutcomes) private readonly outcomes!: RequestOutcomes;
  @Inject(RequestSlots) private readonly slots!: RequestSlots;

  /** Limits, runs the handler, and settles. */
  intercept(
    context: ExecutionContext,
    next: CallHandler,
  ): Observable<unknown> | Promise<Observable<unknown>> {
    const plan = this.planOf(context);
    if (!plan || plan.isSimple) return next.handle();
    return this.run(context, plan, next);
  }

  private async run(
    context: ExecutionContext,
    plan: RoutePlan,
    next: CallHandler,
  ): Promise<Observable<unknown>> {
    if (plan.postAuth.length > 0) await this.limit(context, plan, plan.postAuth);
    const release = plan.slots.length > 0 ? await this.takeSlots(context, plan) : undefined;
    const settled = this.settling(context, plan, next.handle());
    return release ? settled.pipe(finalize(release)) : settled;
  }

  /** The answer waits until what is given back is there for the client's next request. */
  private settling(
    context: ExecutionContext,
    plan: RoutePlan,
    result: Observable<unknown>,
  ): Observable<unknown> {
    if (plan.countOnly.size === 0) return result;
    const settle = (failed: boolean): Promise<void> => this.outcomes.settle(context, plan, failed);
    return concat(
      result.pipe(
        catchError((error: unknown) => from(settle(true)).pipe(mergeMap(() => throwError(() => error)))),
      ),
      defer(() => from(settle(false)).pipe(mergeMap(() => EMPTY))),
    );
  }

  private async takeSlots(context: ExecutionContext, plan: RoutePlan): Promise<() => void> {
    try {
      return await this.slots.take(context, plan.slots, (own) => this.getTracker(own));
    } catch (error) {
      if (!(error instanceof ConcurrencyExceededError || error instanceof RateLimitUnavailableError))
        throw error;
      // Nothing was done for what the request took.
      await this.outcomes.giveBack(context, () => true);
      return this.refuse(context, error);
    }
  }
}
