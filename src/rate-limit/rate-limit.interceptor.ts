import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
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
import { PostAuthLimiter } from './post-auth-limiter.js';
import type { RoutePlan } from './route-plan.js';

/**
 * The part of the limits that comes after authentication: policies of stage `post-auth`, slots of `Concurrency`,
 * and giving back what policies with `countOnly` took. Works on HTTP, GraphQL, WebSocket and microservice
 * messages, and refuses as `RateLimitGuard` does. Streams of events are let in by `RateLimitStreamGuard`. Costs nothing
 * on routes without any of these. Bind it once.
 *
 * @example
 * `@Module({ providers: [{ provide: APP_INTERCEPTOR, useClass: RateLimitInterceptor }] })`
 */
@Injectable()
export class RateLimitInterceptor extends PostAuthLimiter implements NestInterceptor {
  /** Limits, runs the handler, and settles. */
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const plan = this.planOf(context);
    if (!plan || plan.isSimple) return next.handle();
    if (plan.isStream) return this.settling(context, plan, next.handle());
    return this.run(context, plan, next);
  }

  /** Whoever unsubscribes meanwhile, such as an interceptor with a timeout, gets no slot and leaves none behind. */
  private run(context: ExecutionContext, plan: RoutePlan, next: CallHandler): Observable<unknown> {
    return defer(() => {
      const over = new AbortController();
      return from(this.admit(context, plan, over.signal)).pipe(
        mergeMap(() => this.settling(context, plan, next.handle())),
        finalize(() => over.abort()),
      );
    });
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
}
