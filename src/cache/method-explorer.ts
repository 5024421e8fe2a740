import 'reflect-metadata';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { DiscoveryService, ModuleRef } from '@nestjs/core';
import { ConfigurationError } from '../common/index.js';
import { CACHE_CONFIG, NO_CACHE, ownOperations } from './cache.decorators.js';
import { cachedMethod } from './cached-method.js';
import type { CacheConfigOptions } from './cached-method.options.js';
import { MethodPlan, type MethodOperation } from './method-operation.js';
import { namedCache } from './named-cache.js';

/** What Nest knows about a provider or controller. */
type Candidate = ReturnType<DiscoveryService['getProviders']>[number];

/** A method of a class that decorators stand on. */
interface DecoratedMethod {
  readonly name: string | symbol;
  readonly method: (...args: unknown[]) => unknown;
  readonly operations: readonly MethodOperation[];
}

/** Metadata of handlers that Nest takes from their class before the application starts. */
const BOUND_EARLY: readonly (readonly [key: string, kind: string])[] = [
  ['microservices:pattern', 'message handler'],
  ['websockets:message_mapping', 'gateway handler'],
];

/**
 * Finds the methods with caching decorators and wraps them, instance by instance: the classes themselves
 * stay as they are, so two applications in one process do not meet.
 *
 * @internal
 */
@Injectable()
export class MethodExplorer {
  private readonly logger = new Logger('Cache');
  private readonly wrapped = new Set<object>();
  /** Default keys begin with the name of a class; two instances, or classes of one name, would share entries. */
  private readonly owners = new Map<string, object>();

  constructor(
    @Inject(DiscoveryService) private readonly discovery: DiscoveryService,
    @Inject(ModuleRef) private readonly modules: ModuleRef,
  ) {}

  /**
   * Wraps what is not wrapped yet. Later calls find nothing new and do nothing.
   *
   * @throws {ConfigurationError} naming the method, when its decorators cannot work
   */
  explore(): void {
    for (const candidate of [...this.discovery.getProviders(), ...this.discovery.getControllers()]) {
      if (isPerRequest(candidate)) refusePerRequest(candidate);
      else this.wrap(candidate.instance as unknown);
    }
  }

  private wrap(instance: unknown): void {
    if (typeof instance !== 'object' || instance === null || this.wrapped.has(instance)) return;
    const methods = decoratedMethods(Object.getPrototypeOf(instance) as object | null);
    if (methods.length === 0) return;
    this.wrapped.add(instance);
    for (const method of methods) this.wrapMethod(instance, method);
  }

  private wrapMethod(instance: object, { name, method, operations }: DecoratedMethod): void {
    const type = instance.constructor;
    const where = `${type.name}.${String(name)}`;
    refuseEarlyHandler(method, where);
    const config = Reflect.getMetadata(CACHE_CONFIG, type) as CacheConfigOptions | undefined;
    const place = { instance, where, method };
    const planned = operations.map((operation) => {
      const options = {
        ...(operation.kind === 'evict' ? { cache: config?.cache } : config),
        ...operation.options,
      };
      const cache = namedCache(this.modules, options.cache, where);
      if (operation.kind === 'cacheable' && options.key === undefined)
        this.own(`${cache.name}/${where}`, instance);
      return { ...operation, plan: new MethodPlan(place, options, cache) };
    });
    const call = cachedMethod(place, planned, this.logger);
    replace(instance, name, method, (...args) => call(args));
  }

  private own(id: string, instance: object): void {
    const owner = this.owners.get(id) ?? instance;
    this.owners.set(id, owner);
    if (owner === instance) return;
    const isTwin = owner.constructor === instance.constructor;
    throw new ConfigurationError(
      `${id.slice(id.indexOf('/') + 1)} exists in two ` +
        `${isTwin ? 'instances of its class' : 'classes of the same name'}, whose entries would meet; ` +
        `give ${isTwin ? 'its' : 'their'} @Cacheable a key${isTwin ? ', or provide the class once' : ''}`,
    );
  }
}

/** Methods nearest to the instance first; a name is looked at once. */
function decoratedMethods(prototype: object | null): DecoratedMethod[] {
  const found: DecoratedMethod[] = [];
  const seen = new Map<string | symbol, object>();
  if (prototype === null || Reflect.getMetadata(NO_CACHE, prototype.constructor)) return found;
  for (let at: object | null = prototype; at !== null && at !== Object.prototype;) {
    for (const name of Reflect.ownKeys(at)) {
      const method: unknown = Object.getOwnPropertyDescriptor(at, name)?.value;
      if (typeof method !== 'function') continue;
      const operations = ownOperations(at, name);
      const override = seen.get(name);
      if (override === undefined) {
        seen.set(name, method);
        if (operations.length > 0)
          found.push({ name, method: method as DecoratedMethod['method'], operations });
      } else if (operations.length > 0) {
        refuseBareOverride(prototype, name, override, found);
      }
    }
    at = Object.getPrototypeOf(at) as object | null;
  }
  return found;
}

/** An override that has lost the decorators of what it overrides; an eviction would be lost silently. */
function refuseBareOverride(
  prototype: object,
  name: string | symbol,
  override: object,
  found: readonly DecoratedMethod[],
): void {
  if (found.some((method) => method.name === name) || Reflect.getMetadata(NO_CACHE, override)) return;
  const where = `${prototype.constructor.name}.${String(name)}`;
  throw new ConfigurationError(
    `${where} overrides a method with caching decorators and has none; repeat them, or say @NoCache()`,
  );
}

function isPerRequest(candidate: Candidate): boolean {
  return candidate.isTransient || !candidate.isDependencyTreeStatic();
}

function refusePerRequest({ metatype, isTransient }: Candidate): void {
  const prototype = (metatype as { prototype?: object } | null)?.prototype;
  const [method] = prototype ? decoratedMethods(prototype) : [];
  if (!method) return;
  const { name } = metatype as { name: string };
  throw new ConfigurationError(
    `${name}.${String(method.name)} cannot be cached by a decorator: ${name} is ` +
      `${isTransient ? 'transient' : 'request scoped, itself or through what it injects'}, and only ` +
      'instances made at start are decorated; make it a singleton, or call CacheService.getOrSet in the method',
  );
}

function refuseEarlyHandler(method: object, where: string): void {
  for (const [key, kind] of BOUND_EARLY) {
    if (!Reflect.hasMetadata(key, method)) continue;
    throw new ConfigurationError(
      `${where} is a ${kind}, which Nest takes before methods are decorated; ` +
        'put the decorator on a method of a service and call that',
    );
  }
}

/** Guards, pipes and routes read what other decorators left on the method, so it moves along. */
function replace(
  instance: object,
  name: string | symbol,
  method: object,
  replacement: (...args: unknown[]) => Promise<unknown>,
): void {
  for (const key of Reflect.getMetadataKeys(method)) {
    Reflect.defineMetadata(key, Reflect.getMetadata(key, method), replacement);
  }
  for (const property of ['name', 'length']) {
    Object.defineProperty(replacement, property, Object.getOwnPropertyDescriptor(method, property)!);
  }
  if (Reflect.defineProperty(instance, name, { value: replacement, writable: true, configurable: true }))
    return;
  throw new ConfigurationError(
    `${instance.constructor.name}.${String(name)} cannot be cached: the instance is frozen; do not freeze it`,
  );
}
