import type { CacheEntryOptions } from './entry.options.js';
import type { CacheKey } from './cache-key.js';
import type { CacheSetOptions } from './cache.types.js';

/** A method a caching decorator can stand on. */
export type AsyncMethod = (...args: never[]) => Promise<unknown>;

/** Stands for a method that is not known yet: functions for any method fit. */
export type AnyMethod = (...args: never[]) => Promise<never>;

/**
 * Key of an entry: computed from the arguments of the method, or a template. In a template `{0}` is the
 * first argument and `{1.id}` a property of the second; parts are separated by `:`, and a value cannot
 * leave its part.
 */
export type MethodKey<Method extends AsyncMethod> = string | ((...args: Parameters<Method>) => CacheKey);

/** Tags: fixed ones, templates as in {@link MethodKey}, or computed from the arguments. */
export type MethodTags<Method extends AsyncMethod> =
  readonly string[] | ((...args: Parameters<Method>) => readonly string[]);

/** What a method returns and a cache can keep. */
export type KeptResult<Method extends AsyncMethod> = Exclude<Awaited<ReturnType<Method>>, undefined>;

/** What all caching decorators understand. */
export interface CachedMethodOptions<Method extends AsyncMethod = AnyMethod> {
  /** Name of the cache, as given to `CacheModule.forFeature`. @default the one of `CacheModule.forRoot` */
  cache?: string;
  /** Whether the decorator applies to a call; otherwise only the method runs. @default always */
  condition?: (...args: Parameters<Method>) => boolean;
}

/** Options of {@link Cacheable}, beside those of an entry. */
export interface CacheableOptions<Method extends AsyncMethod = AnyMethod>
  extends CachedMethodOptions<Method>, Omit<CacheEntryOptions, 'tags'> {
  /** @default class, method and arguments; these must be text, numbers or booleans then */
  key?: MethodKey<Method>;
  /** Names under which the entry can be invalidated. @default none */
  tags?: MethodTags<Method>;
  /** Whether a result is handed out without being kept; `undefined` never is. @default never */
  unless?: (result: KeptResult<Method>, ...args: Parameters<Method>) => boolean;
}

/** Options of {@link CachePut}, beside those of a write. */
export interface CachePutOptions<Method extends AsyncMethod = AnyMethod>
  extends CachedMethodOptions<Method>, Omit<CacheSetOptions, 'tags'> {
  /** Has to give the key the reading method uses. */
  key: MethodKey<Method>;
  /** Names under which the entry can be invalidated. @default none */
  tags?: MethodTags<Method>;
  /** Whether a result is not kept; what was there before is removed then. @default never */
  unless?: (result: KeptResult<Method>, ...args: Parameters<Method>) => boolean;
}

/** Options of {@link CacheEvict}; one of `key`, `tags` and `allEntries` is needed. */
export interface CacheEvictOptions<
  Method extends AsyncMethod = AnyMethod,
> extends CachedMethodOptions<Method> {
  /** Entry to remove. */
  key?: MethodKey<Method>;
  /** Entries with one of these tags are removed. */
  tags?: MethodTags<Method>;
  /** Removes everything in the cache. @default false */
  allEntries?: boolean;
  /**
   * Removes before the method runs, and whether or not it succeeds. Otherwise removes after it has
   * succeeded, which is what a write to a store needs: a reader between the two cannot bring the old
   * value back. @default false
   */
  beforeInvocation?: boolean;
}

/** Options of {@link Caching}: several decorators as one. */
export interface CachingOptions<Method extends AsyncMethod = AnyMethod> {
  /** Not together with `put`, which calls the method every time. */
  cacheable?: CacheableOptions<Method>;
  /** Entries the result is written to. */
  put?: CachePutOptions<Method> | readonly CachePutOptions<Method>[];
  /** Entries that are removed. */
  evict?: CacheEvictOptions<Method> | readonly CacheEvictOptions<Method>[];
}

/** Options of {@link CacheConfig}: defaults for the decorators of a class. */
export interface CacheConfigOptions extends Omit<CacheEntryOptions, 'tags'> {
  /** Name of the cache, as given to `CacheModule.forFeature`. @default the one of `CacheModule.forRoot` */
  cache?: string;
}

/** `unknown` when options suit a method, otherwise a type nothing fits, which names the reason. */
export type Fits<Options, Wanted> = [Exclude<keyof Options, keyof Wanted>] extends [never]
  ? Options extends Wanted
    ? unknown
    : {
        readonly 'the functions of the decorator must take the parameters and the result of the method': never;
      }
  : { readonly 'the decorator has no such option': Exclude<keyof Options, keyof Wanted> };

/** Decorator for methods that return a promise. */
export type MethodDecoratorOf<Options, Kind extends 'cacheable' | 'put' | 'evict' | 'caching'> = <
  Method extends AsyncMethod,
>(
  target: object,
  name: string | symbol,
  descriptor: TypedPropertyDescriptor<Method> & Fits<Options, OptionsOf<Method>[Kind]>,
) => void;

interface OptionsOf<Method extends AsyncMethod> {
  cacheable: CacheableOptions<Method>;
  put: CachePutOptions<Method>;
  evict: CacheEvictOptions<Method>;
  caching: CachingOptions<Method>;
}
