import { HttpException, Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { ConfigurationError } from '../common/index.js';
import { normaliseAddress } from './client-address.js';
import { mergeDecisions, type RateLimitDecision } from './decision.js';
import { encodeIdentity } from './identity.js';
import { PolicyEvaluator } from './policy-evaluator.js';
import { PolicySet } from './policy-set.js';
import type { ResolvedPolicy } from './resolved-policy.js';
import { PROBLEM_MEDIA_TYPE, toProblem, UNAVAILABLE_RETRY_AFTER_SECONDS } from './problem.js';
import { RateLimitExceededError, RateLimitUnavailableError } from './rate-limit.errors.js';
import { rateLimitFields, type HeaderFields } from './rate-limit.headers.js';
import type { ResolvedRateLimitOptions } from './rate-limit.options.js';
import { RATE_LIMIT_OPTIONS } from './rate-limit.tokens.js';
import { RoutePlanner, type PlannedPolicy } from './route-planner.js';

/**
 * Limits HTTP requests; requests of other kinds (WebSocket, microservice, GraphQL) pass untouched.
 * Works the same on Express and Fastify. Bind it once: two instances on one route count twice.
 *
 * Policies with the same key are one round trip and all or nothing. Policies with different keys
 * (address and tenant) are one round trip each, in the order of declaration, and end at the first
 * refusal: those before it have counted the request.
 *
 * A refusal is an `HttpException` with status 429 (503 when Redis does not answer and a policy is
 * `closed`), whose body is a problem document (RFC 9457) and whose `cause` is the library's error.
 *
 * @example
 * `@Module({ providers: [{ provide: APP_GUARD, useClass: RateLimitGuard }] })`
 */
@Injectable()
export class RateLimitGuard implements CanActivate {
  // Injected by token everywhere, so that a subclass without a constructor inherits it.
  constructor(
    /** The module's options, checked; for subclasses. */
    @Inject(RATE_LIMIT_OPTIONS) protected readonly options: ResolvedRateLimitOptions,
    @Inject(PolicyEvaluator) private readonly evaluator: PolicyEvaluator,
    @Inject(RoutePlanner) private readonly planner: RoutePlanner,
    @Inject(HttpAdapterHost) private readonly adapterHost: HttpAdapterHost,
  ) {}

  /** Counts the request, writes the limit fields, and lets it pass or calls {@link respond}. */
  async canActivate(context: ExecutionContext): Promise<boolean> {
    if (context.getType() !== 'http') return true;
    const plan = this.planner.plan(context.getClass(), context.getHandler());
    if (plan.length === 0) return true;
    const decision = await this.decide(context, plan);
    if (decision) this.writeFields(context, rateLimitFields(decision));
    if (decision && !decision.allowed) this.respond(context, new RateLimitExceededError(decision));
    return true;
  }

  /**
   * Whom a request counts for under `key: 'ip'`: the address the adapter reports (`request.ip`), never
   * a header. Behind a proxy, tell the adapter how many proxies to trust (`trust proxy`, `trustProxy`).
   *
   * @throws {ConfigurationError} when the request has no address, as on a Unix socket
   * @example
   * protected override getTracker(context: ExecutionContext): string {
   *   return context.switchToHttp().getRequest().session?.userId ?? super.getTracker(context);
   * }
   */
  protected getTracker(context: ExecutionContext): string {
    const { ip } = context.switchToHttp().getRequest<{ ip?: unknown }>();
    if (typeof ip === 'string' && ip !== '') return normaliseAddress(ip, this.options.ipv6Prefix);
    throw new ConfigurationError(
      'A request has no client address to limit by; give the policy a key function, or override getTracker',
    );
  }

  /**
   * Ends a refused request by throwing. The limit fields and `Retry-After` are already set.
   *
   * @throws {HttpException} with the problem document as body
   * @example
   * protected override respond(context: ExecutionContext, error: RateLimitExceededError): never {
   *   throw new HttpException({ message: 'Slow down' }, 429, { cause: error });
   * }
   */
  protected respond(
    context: ExecutionContext,
    error: RateLimitExceededError | RateLimitUnavailableError,
  ): never {
    const problem = toProblem(error);
    this.writeFields(context, [['Content-Type', PROBLEM_MEDIA_TYPE]]);
    throw new HttpException(problem, problem.status, { cause: error });
  }

  /** `undefined` when no policy applies to this request. */
  private async decide(
    context: ExecutionContext,
    plan: readonly PlannedPolicy[],
  ): Promise<RateLimitDecision | undefined> {
    const decisions: RateLimitDecision[] = [];
    try {
      for (const [identity, policies] of this.byIdentity(context, plan)) {
        const demand = { identity, set: new PolicySet(policies), cost: 1 };
        const decision = await this.evaluator.evaluate('consume', [demand]);
        decisions.push(decision);
        if (!decision.allowed) break;
      }
    } catch (error) {
      if (!(error instanceof RateLimitUnavailableError)) throw error;
      this.writeFields(context, [['Retry-After', String(UNAVAILABLE_RETRY_AFTER_SECONDS)]]);
      this.respond(context, error);
    }
    return decisions.length === 0 ? undefined : mergeDecisions(decisions);
  }

  private byIdentity(
    context: ExecutionContext,
    plan: readonly PlannedPolicy[],
  ): ReadonlyMap<string, ResolvedPolicy[]> {
    const groups = new Map<string, ResolvedPolicy[]>();
    for (const { policy, key } of plan) {
      const value = key === 'ip' ? this.getTracker(context) : key(context);
      if (value === undefined) continue;
      const identity = encodeIdentity([key === 'ip' ? 'ip' : 'key', value]);
      const group = groups.get(identity);
      if (group) group.push(policy);
      else groups.set(identity, [policy]);
    }
    return groups;
  }

  private writeFields(context: ExecutionContext, fields: HeaderFields): void {
    const response: unknown = context.switchToHttp().getResponse();
    for (const [name, value] of fields) this.adapterHost.httpAdapter.setHeader(response, name, value);
  }
}
