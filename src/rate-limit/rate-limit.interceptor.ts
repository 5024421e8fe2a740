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
import { arrive } from './request-state.js';
import { RequestSlots } from './request-slots.js';
import { whenClosed } from './response-closed.js';
import type { RoutePlan } from './route-plan.js';

/** Where Nest keeps that a handler is one of `Sse`. */
const SSE_METADATA = '__sse__';

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
    if (plan.countOnly.size > 0) arrive(context);
    return isStream(context) ? this.stream(context, plan, next) : this.run(context, plan, next);
  }

  /** Whoever unsubscribes meanwhile, such as an interceptor with a timeout, gets no slot and leaves none behind. */
  private run(context: ExecutionContext, plan: RoutePlan, next: CallHandler): Observable<unknown> {
    return defer(() => {
      const over = new AbortController();
      return from(this.begin(context, plan, over.signal)).pipe(
        mergeMap(() => this.settling(context, plan, next.handle())),
        finalize(() => over.abort()),
      );
    });
  }

  /**
   * A stream of events is over when its response is closed. Nest sends the head of the response a millisecond
   * after it asked: a refusal that takes longer reaches the client as an event of type `error`.
   */
  private async stream(
    context: ExecutionContext,
    plan: RoutePlan,
    next: CallHandler,
  ): Promise<Observable<unknown>> {
    const over = new AbortController();
    void whenClosed(context).then(() => over.abort());
    await this.begin(context, plan, over.signal);
    return this.settling(context, plan, next.handle());
  }

  private async begin(context: ExecutionContext, plan: RoutePlan, over: AbortSignal): Promise<void> {
    if (plan.postAuth.length > 0) await this.limit(context, plan, plan.postAuth);
    if (plan.slots.length > 0) await this.takeSlots(context, plan, over);
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

function isStream(context: ExecutionContext): boolean {
  return context.getType() === 'http' && Reflect.hasMetadata(SSE_METADATA, context.getHandler());
}
