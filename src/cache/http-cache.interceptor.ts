import {
  HttpException,
  Inject,
  Injectable,
  Logger,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { HttpAdapterHost, ModuleRef } from '@nestjs/core';
import { LRUCache } from 'lru-cache';
import { lastValueFrom, of, type Observable } from 'rxjs';
import { ConfigurationError } from '../common/index.js';
import type { CacheKey } from './cache-key.js';
import type { CacheEntry } from './cache.types.js';
import { responseKey } from './http-cache-key.js';
import { CREDENTIALS, planRoute, type HttpCachePlan, type RoutePlan } from './http-cache.plan.js';
import { HttpExchange } from './http-exchange.js';
import {
  entityTag,
  fieldNames,
  isForSharedCaches,
  matchesTag,
  refusalOf,
  RefusedResponse,
  variesBeyond,
  type Refusal,
  type StoredResponse,
} from './http-response.js';
import type { LoaderContext } from './loader.js';
import { namedCache } from './named-cache.js';

/** Where a response came from, as `X-Cache` says it. */
type CacheStatus = 'HIT' | 'MISS' | 'STALE';

/** A request that may be answered from the cache. */
interface CachedRequest {
  readonly plan: HttpCachePlan;
  readonly exchange: HttpExchange;
  readonly context: ExecutionContext;
  readonly next: CallHandler;
  readonly key: CacheKey;
  readonly principal: string | undefined;
}

/** How long a response that may not be kept is handed through without asking the cache, in milliseconds. */
const PASS_MS = 10_000;
const MAX_PASSED = 10_000;

/** What to do about a response that is not kept, where that is rarely meant. */
const ADVICE: Readonly<Partial<Record<Refusal, string>>> = Object.freeze({
  body:
    'returns an instance of a class, or another value that a cache would change; it is not cached. ' +
    'Return plain objects, or bind the interceptor that serializes after HttpCacheInterceptor',
  vary:
    'sends a Vary with a request header that is not part of the key; it is not cached. ' +
    'Name the header in the option "vary" of @HttpCache',
});

/**
 * Answers GET and HEAD requests of routes with `@HttpCache` from the cache; works the same on Express and
 * Fastify. Messages of WebSockets and microservices, and GraphQL, pass through untouched, as does every
 * route without the decorator.
 *
 * A response is shared by requests with equal method, route, version, host, path, query, declared headers and principal.
 * Guards run before, so who may not see a response does not; pipes and the handler do not run on a hit.
 * Not kept: anything but status 200, streams, instances of classes, `undefined`, responses with
 * `Set-Cookie`, `Cache-Control: no-store | no-cache | private` or a `Vary` that is not declared. Requests
 * with `Authorization` or `Cookie` pass by unless a principal is declared.
 *
 * With `staleWhileRevalidate`, `eagerRefresh` or a soft limit, a handler may still run when its response
 * has been sent: it must not write to it.
 *
 * @example
 * `@Module({ providers: [{ provide: APP_INTERCEPTOR, useClass: HttpCacheInterceptor }] })`
 */
@Injectable()
export class HttpCacheInterceptor implements NestInterceptor {
  private readonly logger = new Logger('HttpCache');
  private readonly plans = new WeakMap<object, WeakMap<object, { readonly plan: RoutePlan }>>();
  private readonly passed = new LRUCache<string, true>({ max: MAX_PASSED, ttl: PASS_MS });
  private readonly warned = new Set<string>();

  // Injected by token everywhere, so that a subclass without a constructor inherits it.
  constructor(
    @Inject(ModuleRef) private readonly modules: ModuleRef,
    @Inject(HttpAdapterHost) private readonly adapterHost: HttpAdapterHost,
  ) {}

  /** Answers from the cache, or lets the handler answer. */
  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    if (context.getType() !== 'http') return next.handle();
    const plan = this.plan(context);
    if (plan === undefined) return next.handle();
    const exchange = new HttpExchange(this.adapterHost.httpAdapter, context);
    if (plan === 'never') {
      exchange.set('Cache-Control', 'no-store');
      return next.handle();
    }
    const request = await this.request(context, next, plan, exchange);
    if (!request || this.passed.has(idOf(request.key))) return next.handle();
    return this.answer(request);
  }

  /**
   * Whose response it is, for routes that do not say so themselves. `undefined`: nobody in particular, so
   * that requests with credentials are not cached.
   *
   * @example
   * protected override principal(context: ExecutionContext): string | undefined {
   *   return context.switchToHttp().getRequest().user?.id;
   * }
   */
  protected principal(_context: ExecutionContext): string | undefined | Promise<string | undefined> {
    return undefined;
  }

  private async request(
    context: ExecutionContext,
    next: CallHandler,
    plan: HttpCachePlan,
    exchange: HttpExchange,
  ): Promise<CachedRequest | undefined> {
    const { method, host, url } = exchange;
    if (method !== 'GET' && method !== 'HEAD') return undefined;
    if (variesBeyond(plan.knownVary, exchange)) {
      this.warn(plan, 'vary');
      return undefined;
    }
    const principal = await this.principalOf(context, plan);
    if (principal === undefined && plan.principal !== 'anyone' && hasCredentials(exchange)) return undefined;
    const vary = plan.vary.map((name) => exchange.header(name));
    const { route, version } = plan;
    const key = responseKey({ method, route, version, host, url, vary, principal });
    return { plan, exchange, context, next, key, principal };
  }

  private async principalOf(context: ExecutionContext, plan: HttpCachePlan): Promise<string | undefined> {
    if (plan.principal === 'anyone') return undefined;
    // Functions without types give what they have: a user that is missing must not become one of their own.
    const principal: unknown = await (plan.principal ? plan.principal(context) : this.principal(context));
    if (principal === undefined || principal === null || principal === '') return undefined;
    if (typeof principal === 'string') return principal;
    throw new ConfigurationError(
      `The principal of ${plan.route} is of type ${typeof principal}; give text, or undefined for nobody`,
    );
  }

  private async answer(request: CachedRequest): Promise<Observable<unknown>> {
    const { plan, key } = request;
    const { memory, timeout } = plan.entry;
    const before = await plan.cache.getEntry<StoredResponse>(key, { memory, timeout });
    if (before && !before.isStale && !plan.isEager)
      return of(this.reply(request, before.value, 'HIT', before));
    const load: ResponseLoad = new ResponseLoad(request, (why) => this.refused(request, why));
    const tags = typeof plan.tags === 'function' ? plan.tags(request.context) : plan.tags;
    const options = tags === undefined ? plan.entry : { ...plan.entry, tags };
    const loader = (context: LoaderContext<StoredResponse | RefusedResponse>) => load.run(context);
    const found = await plan.cache.getOrSet(key, loader, options);
    if (found instanceof RefusedResponse) return load.handOut(found);
    if (found.loadId !== before?.value.loadId) return of(this.reply(request, found, 'MISS'));
    return of(this.reply(request, found, before.isStale ? 'STALE' : 'HIT', before));
  }

  /** Sets the headers, and gives the body that is to be sent. */
  private reply(
    { plan, exchange, principal }: CachedRequest,
    stored: StoredResponse,
    status: CacheStatus,
    entry?: CacheEntry<unknown>,
  ): unknown {
    for (const [name, value] of Object.entries(stored.headers)) exchange.set(name, value);
    exchange.set('ETag', stored.etag);
    exchange.set('X-Cache', status);
    if (entry) exchange.set('Age', String(seconds(ageMs(entry))));
    if (exchange.responseHeader('set-cookie') !== undefined) {
      // Middleware has given this client a cookie: nobody else may get it from a cache on the way.
      if (isForSharedCaches(exchange.responseHeader('cache-control')))
        exchange.set('Cache-Control', 'private, no-cache');
    } else if (exchange.handlerHeader('cache-control') === undefined && !stored.headers['cache-control']) {
      const maxAge = seconds(freshFor(plan, status, entry));
      const use = maxAge === 0 ? 'no-cache' : `max-age=${maxAge}`;
      exchange.set('Cache-Control', `${principal === undefined ? 'public' : 'private'}, ${use}`);
    }
    const vary = this.varyOf(plan, exchange);
    if (vary !== '') exchange.set('Vary', vary);
    const isKnown = matchesTag(exchange.header('if-none-match'), stored.etag);
    exchange.answer(isKnown ? 304 : 200);
    return isKnown ? undefined : stored.body;
  }

  /** Credentials decide whether, or from which entry, a request is answered; caches on the way must know. */
  private varyOf({ vary, principal }: HttpCachePlan, exchange: HttpExchange): string {
    const credentials = principal === 'anyone' ? [] : CREDENTIALS;
    const before = fieldNames(exchange.responseHeader('vary'));
    return [...new Set([...before, ...vary, ...credentials])].join(', ');
  }

  private refused({ plan, key }: CachedRequest, why: Refusal): void {
    this.passed.set(idOf(key), true);
    this.warn(plan, why);
  }

  /** Once for each route: it would go on with every request. */
  private warn({ route }: HttpCachePlan, why: Refusal): void {
    const advice = ADVICE[why];
    if (advice === undefined || this.warned.has(route)) return;
    this.warned.add(route);
    this.logger.warn(`${route} ${advice}`);
  }

  private plan(context: ExecutionContext): RoutePlan {
    const [controller, handler] = [context.getClass(), context.getHandler()];
    let plans = this.plans.get(controller);
    if (!plans) this.plans.set(controller, (plans = new WeakMap()));
    let known = plans.get(handler);
    if (!known) {
      const cacheOf = (name: string | undefined, where: string) => namedCache(this.modules, name, where);
      plans.set(handler, (known = { plan: planRoute(controller, handler, cacheOf) }));
    }
    return known.plan;
  }
}

/** One run of a handler on behalf of everybody who waits for its response. */
class ResponseLoad {
  /** What the handler returned or threw when this request ran it. */
  private own: { readonly value?: unknown; readonly error?: unknown } | undefined;

  constructor(
    private readonly request: CachedRequest,
    private readonly onRefusal: (why: Refusal) => void,
  ) {}

  async run(
    context: LoaderContext<StoredResponse | RefusedResponse>,
  ): Promise<StoredResponse | RefusedResponse> {
    const { exchange, next, plan, principal } = this.request;
    const before = exchange.snapshot();
    let body: unknown;
    try {
      body = await lastValueFrom(next.handle(), { defaultValue: undefined });
    } catch (error) {
      if (!isClientError(error)) throw error;
      // Not a failure of the source: no stale response may stand in for it.
      this.own = { error };
      return context.skip(new RefusedResponse({ value: error }));
    }
    const rules = { known: plan.knownVary, hasPrincipal: principal !== undefined };
    const why = refusalOf(exchange, body, rules);
    if (why) {
      this.own = { value: body };
      this.onRefusal(why);
      return context.skip(new RefusedResponse());
    }
    const headers = exchange.keptSince(before);
    const etag = headers['etag'] ?? entityTag(body);
    return { body, etag, headers, loadId: crypto.randomUUID() };
  }

  /** The answer when the response is not kept: one's own, or that of a run of one's own. */
  handOut(refused: RefusedResponse): Observable<unknown> {
    if (this.own?.error !== undefined) throw this.own.error;
    if (this.own) return of(this.own.value);
    if (refused.error) throw refused.error.value;
    return this.request.next.handle();
  }
}

function isClientError(error: unknown): boolean {
  return error instanceof HttpException && error.getStatus() < 500;
}

function hasCredentials(exchange: HttpExchange): boolean {
  return CREDENTIALS.some((name) => exchange.header(name) !== undefined);
}

function freshFor(plan: HttpCachePlan, status: CacheStatus, entry: CacheEntry<unknown> | undefined): number {
  const longest = plan.maxAgeMs ?? Infinity;
  if (status === 'STALE') return 0;
  const leftMs = entry ? entry.freshForMs : plan.leastTtlMs;
  return Math.min(longest, leftMs, plan.ttlMs);
}

/** By the server's clock alone. */
function ageMs({ createdAt, expiresAt, freshForMs }: CacheEntry<unknown>): number {
  return expiresAt.getTime() - createdAt.getTime() - freshForMs;
}

function seconds(ms: number): number {
  return Math.max(0, Math.floor(ms / 1000));
}

function idOf(key: CacheKey): string {
  return typeof key === 'string' ? key : key.join('/');
}
