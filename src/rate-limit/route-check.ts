import { Inject, Injectable, type OnModuleInit, type Type } from '@nestjs/common';
import { ApplicationConfig, DiscoveryService, MetadataScanner } from '@nestjs/core';
import { ConfigurationError } from '../common/index.js';
import { RateLimitInterceptor } from './rate-limit.interceptor.js';
import { isDecorated } from './route-metadata.js';
import { RoutePlanner, type Handler } from './route-planner.js';

/** Where Nest keeps what `UseInterceptors` names. */
const INTERCEPTORS_METADATA = '__interceptors__';

/**
 * Plans every handler when the application starts, so that a decorator with an unknown policy, or one that nothing
 * would apply, ends the start instead of failing, or not limiting, a request.
 *
 * @internal
 */
@Injectable()
export class RouteCheck implements OnModuleInit {
  constructor(
    @Inject(DiscoveryService) private readonly discovery: DiscoveryService,
    @Inject(MetadataScanner) private readonly scanner: MetadataScanner,
    @Inject(RoutePlanner) private readonly planner: RoutePlanner,
    @Inject(ApplicationConfig) private readonly application: ApplicationConfig,
  ) {}

  /** @throws {ConfigurationError} naming the handler and what is wrong with it */
  onModuleInit(): void {
    const classes = new Set<Type>();
    for (const { metatype } of this.discovery.getControllers()) add(classes, metatype);
    // Gateways and resolvers are providers like any other; their decorators tell.
    for (const { metatype } of this.discovery.getProviders()) {
      if (isClass(metatype) && (isDecorated(metatype) || this.handlersOf(metatype).some(isDecorated))) {
        classes.add(metatype);
      }
    }
    for (const type of classes) for (const handler of this.handlersOf(type)) this.check(type, handler);
  }

  private check(type: Type, handler: Handler): void {
    const plan = this.planner.plan(type, handler);
    if (plan.postAuth.length === 0 && plan.slots.length === 0) return;
    if (!isDecorated(type) && !isDecorated(handler)) return;
    if (this.isIntercepted(type, handler)) return;
    const [what] = [
      ...plan.postAuth.flatMap(({ policies }) => policies),
      ...plan.slots.map(({ policy }) => policy),
    ];
    throw new ConfigurationError(
      `${type.name}.${handler.name} has the policy "${what!.name}", which RateLimitInterceptor applies, but there ` +
        'is none; add { provide: APP_INTERCEPTOR, useClass: RateLimitInterceptor } to the providers of a module',
    );
  }

  private isIntercepted(type: Type, handler: Handler): boolean {
    const own = [type, handler].flatMap(
      (target) => (Reflect.getMetadata(INTERCEPTORS_METADATA, target) as unknown[] | undefined) ?? [],
    );
    const requested = this.application.getGlobalRequestInterceptors().map(({ metatype }) => metatype);
    return [...this.application.getGlobalInterceptors(), ...requested, ...own].some(isOurs);
  }

  private handlersOf(type: Type): Handler[] {
    const prototype = type.prototype as Record<string, unknown>;
    return this.scanner
      .getAllMethodNames(prototype)
      .map((name) => prototype[name])
      .filter((handler): handler is Handler => typeof handler === 'function');
  }
}

function isOurs(interceptor: unknown): boolean {
  if (typeof interceptor !== 'function') return interceptor instanceof RateLimitInterceptor;
  return interceptor === RateLimitInterceptor || interceptor.prototype instanceof RateLimitInterceptor;
}

function add(classes: Set<Type>, metatype: unknown): void {
  if (isClass(metatype)) classes.add(metatype);
}

/** Providers made by a factory have that as their type. */
function isClass(metatype: unknown): metatype is Type {
  return typeof metatype === 'function' && /^class\b/.test(Function.prototype.toString.call(metatype));
}
