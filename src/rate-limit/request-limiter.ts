import { Inject, Injectable, type ExecutionContext } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { LRUCache } from 'lru-cache';
import { ConfigurationError } from '../common/index.js';
import { normaliseAddress } from './client-address.js';
import { adapterOf } from './context-adapter.js';
import type { RateLimitDecision } from './decision.js';
import { PROBLEM_MEDIA_TYPE, retryMsOf, toProblem, type RateLimitRefusal } from './problem.js';
import {
  RateLimitCostError,
  RateLimitExceededError,
  RateLimitUnavailableError,
} from './rate-limit.errors.js';
import { rateLimitFields, retryAfterSeconds, type HeaderFields } from './rate-limit.headers.js';
import type { ResolvedRateLimitOptions } from './rate-limit.options.js';
import { RATE_LIMIT_OPTIONS } from './rate-limit.tokens.js';
import { RequestCharger } from './request-charger.js';
import { RequestIdentities } from './request-identity.js';
import { remember } from './request-state.js';
import type { RoutePlan, StagePlan } from './route-plan.js';
import { RoutePlanner } from './route-planner.js';

/** What all requests without an address share under `missingAddress: 'shared'`. */
const NO_ADDRESS = 'unknown';

/** Of IPv6 with zone and port; longer texts are none, and are not remembered. */
const LONGEST_ADDRESS = 64;

/**
 * What guard and interceptor have in common: they charge a stage of the route's policies, tell the client,
 * and refuse. Extend one of those two to change how.
 */
@Injectable()
export abstract class RequestLimiter {
  /** Addresses and what they were reduced to: the same clients come again and again. */
  private readonly addresses = new LRUCache<string, string>({ max: 5000 });
  /** Bound once; every request passes it on. */
  private readonly tracker = (context: ExecutionContext): string => this.getTracker(context);

  // Injected by token everywhere, so that a subclass without a constructor inherits it.
  constructor(
    /** The module's options, checked; for subclasses. */
    @Inject(RATE_LIMIT_OPTIONS) protected readonly options: ResolvedRateLimitOptions,
    @Inject(RoutePlanner) private readonly planner: RoutePlanner,
    @Inject(RequestCharger) private readonly charger: RequestCharger,
    @Inject(RequestIdentities) private readonly identities: RequestIdentities,
    @Inject(HttpAdapterHost) private readonly adapterHost: HttpAdapterHost,
  ) {}

  /**
   * Whom a request counts for under `key: 'ip'`: the address its transport reports, reduced to what identifies a
   * client. On HTTP that is the adapter's `request.ip`, never a header: behind a proxy, tell the adapter how many
   * proxies to trust (`trust proxy`, `trustProxy`). On WebSocket it is the address of the handshake.
   *
   * @throws {ConfigurationError} when the request has no address and the module's `missingAddress` is 'error'
   * @example
   * protected override getTracker(context: ExecutionContext): string {
   *   return context.switchToHttp().getRequest().session?.userId ?? super.getTracker(context);
   * }
   */
  protected getTracker(context: ExecutionContext): string {
    const address = adapterOf(context)?.address(context);
    if (address) return this.normalise(address);
    if (this.identities.missingAddress === 'shared') return NO_ADDRESS;
    throw new ConfigurationError(
      'A request has no client address to limit by; give the policy another key, override getTracker, or ' +
        "let such requests share a counter with missingAddress: 'shared'",
    );
  }

  /**
   * Ends a refused request by throwing what its transport makes an answer of: `HttpException`,
   * `GraphQLError`, `WsException` or `RpcException`, each with the problem document. Header fields are
   * already set.
   *
   * @throws the exception, whose `cause` is the library's error
   * @example
   * protected override respond(context: ExecutionContext, error: RateLimitRefusal): never {
   *   throw new HttpException({ message: 'Slow down' }, 429, { cause: error });
   * }
   */
  protected async respond(context: ExecutionContext, error: RateLimitRefusal): Promise<never> {
    const problem = toProblem(error);
    if (context.getType() === 'http') this.write(context, [['Content-Type', PROBLEM_MEDIA_TYPE]]);
    throw await adapterOf(context)!.exception(problem, retryMsOf(error), error);
  }

  /** What applies to the handler of a request. */
  protected planOf(context: ExecutionContext): RoutePlan | undefined {
    return adapterOf(context) && this.planner.plan(context.getClass(), context.getHandler());
  }

  /** Charges a stage, and refuses when there is no room. */
  protected async limit(context: ExecutionContext, plan: RoutePlan, stage: StagePlan): Promise<void> {
    let decision: RateLimitDecision | undefined;
    try {
      decision = await this.charger.charge(context, stage, this.tracker);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return this.refuse(context, error);
    }
    if (!decision) return;
    const all = remember(context, decision);
    this.write(context, rateLimitFields(all, this.options.headers, plan.shadows));
    if (!decision.allowed) await this.respond(context, new RateLimitExceededError(decision));
  }

  /** Refuses for a reason other than a decision: `Retry-After` is all there is to tell. */
  protected async refuse(context: ExecutionContext, error: RateLimitRefusal): Promise<never> {
    const retryAfterMs = retryMsOf(error);
    if (retryAfterMs > 0) {
      this.write(context, [['Retry-After', String(retryAfterSeconds({ retryAfterMs }))]]);
    }
    return this.respond(context, error);
  }

  private normalise(address: string): string {
    if (address.length > LONGEST_ADDRESS) return normaliseAddress(address, this.options.ipv6Prefix);
    let known = this.addresses.get(address);
    if (known === undefined) {
      this.addresses.set(address, (known = normaliseAddress(address, this.options.ipv6Prefix)));
    }
    return known;
  }

  private write(context: ExecutionContext, fields: HeaderFields): void {
    const response = adapterOf(context)?.response(context);
    if (!response) return;
    const { httpAdapter } = this.adapterHost;
    for (const [name, value] of fields) httpAdapter.setHeader(response, name, value);
  }
}

function isRefusal(error: unknown): error is RateLimitRefusal {
  return error instanceof RateLimitUnavailableError || error instanceof RateLimitCostError;
}
