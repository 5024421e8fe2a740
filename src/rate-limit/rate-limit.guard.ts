import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { RequestLimiter } from './request-limiter.js';

/**
 * Limits requests before authentication: HTTP on Express and Fastify, GraphQL (once per operation),
 * WebSocket and microservice messages. Bind it once: two instances on one route count twice.
 *
 * All policies of a route that are applied in this stage are one round trip and all or nothing, whatever
 * their keys. On a Cluster that is one round trip per server, and what was taken is given back when a later
 * one refuses.
 *
 * A refusal is the exception of the transport with a problem document (RFC 9457): status 429, or 503 when
 * Redis does not answer and a policy is `closed`. Its `cause` is the library's error.
 *
 * @example
 * `@Module({ providers: [
 *   { provide: APP_GUARD, useClass: RateLimitGuard },
 *   { provide: APP_INTERCEPTOR, useClass: RateLimitInterceptor },
 * ] })`
 */
@Injectable()
export class RateLimitGuard extends RequestLimiter implements CanActivate {
  /** Counts the request, writes the limit fields, and lets it pass or calls `respond`. */
  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const plan = this.planOf(context);
    if (!plan || plan.preAuth.length === 0) return true;
    return this.limit(context, plan, plan.preAuth).then(passes);
  }
}

const passes = (): true => true;
