import 'reflect-metadata';
import { SetMetadata } from '@nestjs/common';
import { ConfigurationError } from '../common/index.js';
import type { MethodOperation } from './method-operation.js';
import type {
  CacheableOptions,
  CacheConfigOptions,
  CacheEvictOptions,
  CachePutOptions,
  CachingOptions,
  MethodDecoratorOf,
} from './cached-method.options.js';

/** @internal Metadata key of the decorators of a method: a list of `MethodOperation`. */
export const CACHE_OPERATIONS = Symbol.for('rednest:cache:operations');
/** @internal Metadata key of {@link CacheConfig}. */
export const CACHE_CONFIG = Symbol.for('rednest:cache:config');
/** @internal Metadata key of {@link NoCache}. */
export const NO_CACHE = Symbol.for('rednest:cache:none');

/**
 * Answers calls of a method from the cache, and runs it on a miss: `CacheService.getOrSet` around the
 * method, so one run at a time in the whole fleet. `null` is kept, `undefined` is not.
 *
 * Works on the methods of every provider and controller that Nest creates at start, also when the class
 * calls it on itself. The parameters of the functions need their types; the compiler compares them with
 * those of the method.
 *
 * @throws {ConfigurationError} at start-up, when the class is created per request or an option is unusable
 * @example
 * `@Cacheable({ cache: 'users', key: (id: string) => ['user', id], ttl: 'short' })`
 * find(id: string): Promise<User | undefined> { ... }
 */
export function Cacheable<const Options extends CacheableOptions>(
  options?: Options,
): MethodDecoratorOf<Options, 'cacheable'> {
  return record([operation('cacheable', options ?? {})]);
}

/**
 * Runs a method every time and writes its result to the cache: `CacheService.writeThrough` around the
 * method. When it fails, or two calls cross, the entry is removed. A result of `undefined` removes it too.
 *
 * @throws {ConfigurationError} when there is no key; at start-up as {@link Cacheable}
 * @example
 * `@CachePut({ cache: 'users', key: (user: User) => ['user', user.id] })`
 * save(user: User): Promise<User> { ... }
 */
export function CachePut<const Options extends CachePutOptions>(
  options: Options,
): MethodDecoratorOf<Options, 'put'> {
  return record([operation('put', assertPut(options))]);
}

/**
 * Removes entries after a method has succeeded, or before it runs.
 *
 * @throws {ConfigurationError} when it says nothing to remove; at start-up as {@link Cacheable}
 * @example
 * `@CacheEvict({ cache: 'users', key: (id: string) => ['user', id], tags: ['user-lists'] })`
 * delete(id: string): Promise<void> { ... }
 */
export function CacheEvict<const Options extends CacheEvictOptions>(
  options: Options,
): MethodDecoratorOf<Options, 'evict'> {
  return record([operation('evict', assertEvict(options))]);
}

/**
 * Several decorators as one, for instance an entry to write and tags to remove.
 *
 * @throws {ConfigurationError} as the decorators it stands for, and when it holds both `cacheable` and `put`
 * @example
 * `@Caching({ put: { key: (user: User) => ['user', user.id] }, evict: { tags: ['user-lists'] } })`
 * save(user: User): Promise<User> { ... }
 */
export function Caching<const Options extends CachingOptions>(
  options: Options,
): MethodDecoratorOf<Options, 'caching'> {
  const { cacheable, put, evict } = options as CachingOptions;
  const operations: MethodOperation[] = [];
  for (const one of listOf(evict)) operations.push(operation('evict', assertEvict(one)));
  if (cacheable) operations.push(operation('cacheable', cacheable));
  for (const one of listOf(put)) operations.push(operation('put', assertPut(one)));
  return record(operations);
}

/**
 * Defaults for the caching decorators of a class and of classes that extend it.
 *
 * @example
 * `@CacheConfig({ cache: 'users', ttl: 'long' })` class UsersService { ... }
 */
export function CacheConfig(options: CacheConfigOptions): ClassDecorator {
  return SetMetadata(CACHE_CONFIG, options) as ClassDecorator;
}

/**
 * Turns caching off: for a class, a method that overrides a cached one, or a route under
 * `HttpCacheInterceptor`, whose responses then say `Cache-Control: no-store`.
 *
 * @example
 * `@NoCache()` `@Get('now')` now(): number { return Date.now(); }
 */
export function NoCache(): ClassDecorator & MethodDecorator {
  return SetMetadata(NO_CACHE, true);
}

/** The compiler has compared the functions with the method; from here on they take what comes. */
function operation(kind: MethodOperation['kind'], options: object): MethodOperation {
  return { kind, options };
}

function record(
  operations: readonly MethodOperation[],
): (target: object, name: string | symbol, descriptor: object) => void {
  return (target, name) => {
    if (typeof target === 'function') {
      throw new ConfigurationError(
        `The static method ${target.name}.${String(name)} cannot be cached; make it a method of a provider`,
      );
    }
    // Decorators run from the bottom up; in front keeps the order they are read in.
    const all = [...operations, ...ownOperations(target, name)];
    assertTogether(all, `${target.constructor.name}.${String(name)}`);
    Reflect.defineMetadata(CACHE_OPERATIONS, all, target, name);
  };
}

/** What the decorators of a method of exactly this prototype recorded. @internal */
export function ownOperations(prototype: object, name: string | symbol): readonly MethodOperation[] {
  const found: unknown = Reflect.getOwnMetadata(CACHE_OPERATIONS, prototype, name);
  return (found as readonly MethodOperation[] | undefined) ?? [];
}

function assertTogether(operations: readonly MethodOperation[], where: string): void {
  const count = (kind: MethodOperation['kind']): number =>
    operations.filter((operation) => operation.kind === kind).length;
  if (count('cacheable') > 1) throw new ConfigurationError(`${where} is @Cacheable twice; keep one of them`);
  if (count('cacheable') > 0 && count('put') > 0) {
    throw new ConfigurationError(
      `${where} is @Cacheable and @CachePut: one runs the method on a miss only, the other always; keep one`,
    );
  }
}

function assertPut(options: CachePutOptions | undefined): CachePutOptions {
  if (options?.key) return options;
  throw new ConfigurationError('@CachePut needs a key: the one the reading method uses');
}

function assertEvict(options: CacheEvictOptions | undefined): CacheEvictOptions {
  if (options?.key || options?.tags || options?.allEntries) return options;
  throw new ConfigurationError('@CacheEvict says nothing to remove; give key, tags or allEntries');
}

function listOf<T>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}
