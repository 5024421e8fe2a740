import { SetMetadata, type ExecutionContext } from '@nestjs/common';
import { ConfigurationError } from '../common/index.js';
import { resolveTtl, type Ttl } from '../redis/index.js';
import { resolveEntryOptions, type CacheEntryOptions } from './entry.options.js';

/** @internal Metadata key of {@link HttpCache}. */
export const HTTP_CACHE = Symbol.for('rednest:cache:http');

/**
 * Whose response it is: text that identifies the caller, or `undefined` for nobody in particular.
 * It reaches neither keys nor headers in clear.
 */
export type PrincipalFunction = (
  context: ExecutionContext,
) => string | undefined | Promise<string | undefined>;

/** Options of {@link HttpCache}, beside those of an entry. */
export interface HttpCacheOptions extends Omit<CacheEntryOptions, 'tags' | 'notFoundTtl'> {
  /** Time to live: a tier or a duration. @default 'short' */
  ttl?: Ttl;
  /** Name of the cache, as given to `CacheModule.forFeature`. @default the one of `CacheModule.forRoot` */
  cache?: string;
  /** Names under which responses can be invalidated, fixed or by request. @default none */
  tags?: readonly string[] | ((context: ExecutionContext) => readonly string[]);
  /** Request headers the response depends on, such as `accept-language`; also sent as `Vary`. @default none */
  vary?: readonly string[];
  /**
   * Whose response it is. Without it, requests with `Authorization` or `Cookie` are not cached; with a
   * function each principal has entries of its own, sent as `private`; `'anyone'` says that the response
   * is the same for everybody, whatever credentials are sent. @default no principal
   */
  principal?: PrincipalFunction | 'anyone';
  /**
   * Longest time a client may use a response without asking; `0`: it asks each time, which its ETag makes
   * cheap. A client does not hear of invalidations. @default what is left of the time to live
   */
  maxAge?: Ttl;
}

/**
 * Caches the responses of a route, or of all routes of a controller, under `HttpCacheInterceptor`. On
 * both, the options of the method count before those of the class.
 *
 * @throws {ConfigurationError} when an option is unusable
 * @example
 * `@Get()` `@HttpCache({ ttl: 'medium', vary: ['accept-language'], tags: ['articles'] })`
 * list(): Promise<Article[]> { ... }
 */
export function HttpCache(options: HttpCacheOptions = {}): ClassDecorator & MethodDecorator {
  checkHttpCache(options);
  return SetMetadata(HTTP_CACHE, options);
}

const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

function checkHttpCache(options: HttpCacheOptions): void {
  const { cache, tags, vary, principal, maxAge, ...entry } = options;
  // What `staleWhileRevalidate: true` needs may come from the class.
  resolveEntryOptions({ grace: 1, ...entry, ...(Array.isArray(tags) ? { tags } : {}) });
  if (maxAge !== undefined && maxAge !== 0) resolveTtl(maxAge, 'maxAge');
  if (cache !== undefined && (typeof cache !== 'string' || cache === '')) {
    throw new ConfigurationError('Option "cache" of @HttpCache is not a name; give a non-empty string');
  }
  if (principal !== undefined && principal !== 'anyone' && typeof principal !== 'function') {
    throw new ConfigurationError(
      `Option "principal" of @HttpCache is no principal; give a function, or 'anyone'`,
    );
  }
  for (const name of vary ?? []) {
    if (typeof name === 'string' && FIELD_NAME.test(name) && name !== '*') continue;
    throw new ConfigurationError('Option "vary" of @HttpCache has an entry that is no header name');
  }
}
