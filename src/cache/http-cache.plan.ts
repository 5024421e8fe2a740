import { VERSION_NEUTRAL, type ExecutionContext } from '@nestjs/common';
import { resolveTtl } from '../redis/index.js';
import { NO_CACHE } from './cache.decorators.js';
import type { CacheService } from './cache.service.js';
import { resolveEntryOptions, type CacheEntryOptions } from './entry.options.js';
import { HTTP_CACHE, type HttpCacheOptions } from './http-cache.decorators.js';

/** How the responses of one route are cached. */
export interface HttpCachePlan {
  /** Class and handler, for keys and logs. */
  readonly route: string;
  /** What `@Version` says about the route, as one text. */
  readonly version: string | undefined;
  readonly cache: CacheService;
  readonly entry: CacheEntryOptions;
  readonly tags: HttpCacheOptions['tags'];
  /** Request headers that are part of the key, in lower case. */
  readonly vary: readonly string[];
  /** What a response may name in `Vary`, in lower case; with anything else it is not kept. */
  readonly knownVary: ReadonlySet<string>;
  readonly principal: HttpCacheOptions['principal'];
  readonly ttlMs: number;
  /** Time to live that every entry reaches, after the random shortening. */
  readonly leastTtlMs: number;
  /** `undefined`: as long as the entry. */
  readonly maxAgeMs: number | undefined;
  /** Whether a hit may start a load. */
  readonly isEager: boolean;
}

/** What is said about a route: how to cache it, that it must not be cached, or nothing. */
export type RoutePlan = HttpCachePlan | 'never' | undefined;

type Handler = ReturnType<ExecutionContext['getHandler']>;
type Controller = ReturnType<ExecutionContext['getClass']>;

/** Under which Nest keeps what `@Version` and `@Controller({ version })` say. */
const VERSION = '__version__';

/** The key has the principal, or there are none of these. */
export const CREDENTIALS = ['authorization', 'cookie'] as const;

/** CORS and compression set what depends on these anew for every request; the body does not. */
const ELSEWHERE = ['origin', 'accept-encoding'] as const;

/** Decorators whose answer is more than a body: redirect, template, event stream. */
const OTHER_ANSWERS = ['__redirect__', '__renderTemplate__', '__sse__'];

/**
 * Reads the decorators of a route; the method counts before the class.
 *
 * @throws {ConfigurationError} when an option is unusable, or no cache has the name
 */
export function planRoute(
  controller: Controller,
  handler: Handler,
  cacheOf: (name: string | undefined, where: string) => CacheService,
): RoutePlan {
  const onClass = metadata(HTTP_CACHE, controller);
  const onMethod = metadata(HTTP_CACHE, handler);
  if (Reflect.getMetadata(NO_CACHE, handler)) return 'never';
  if (!onMethod && Reflect.getMetadata(NO_CACHE, controller)) return 'never';
  if (!onClass && !onMethod) return undefined;
  if (OTHER_ANSWERS.some((key) => Reflect.hasMetadata(key, handler))) return undefined;
  const route = { name: `${controller.name}.${handler.name}`, version: versionOf(controller, handler) };
  return createPlan({ ...onClass, ...onMethod }, route, cacheOf);
}

function createPlan(
  options: HttpCacheOptions,
  route: { readonly name: string; readonly version: string | undefined },
  cacheOf: (name: string | undefined, where: string) => CacheService,
): HttpCachePlan {
  const { cache, tags, vary = [], principal, maxAge, ttl = 'short', ...rest } = options;
  const entry: CacheEntryOptions = { ...rest, ttl };
  const { ttlMs, jitter, eagerRefresh } = resolveEntryOptions({ grace: 1, ...entry });
  const names = vary.map((name) => name.toLowerCase());
  return Object.freeze({
    route: route.name,
    version: route.version,
    cache: cacheOf(cache, route.name),
    entry,
    tags,
    vary: names,
    knownVary: new Set([...names, ...ELSEWHERE, ...(principal === 'anyone' ? [] : CREDENTIALS)]),
    principal,
    ttlMs,
    leastTtlMs: ttlMs * (1 - jitter),
    maxAgeMs: maxAge === undefined || maxAge === 0 ? maxAge : resolveTtl(maxAge, 'maxAge'),
    isEager: eagerRefresh !== false,
  });
}

function versionOf(controller: Controller, handler: Handler): string | undefined {
  const version: unknown = Reflect.getMetadata(VERSION, handler) ?? Reflect.getMetadata(VERSION, controller);
  if (version === undefined) return undefined;
  return JSON.stringify([version].flat().map((one) => (one === VERSION_NEUTRAL ? null : one)));
}

function metadata(key: symbol, target: object): HttpCacheOptions | undefined {
  return Reflect.getMetadata(key, target) as HttpCacheOptions | undefined;
}
