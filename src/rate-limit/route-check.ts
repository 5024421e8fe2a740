import { Inject, Injectable, type OnModuleInit, type Type } from '@nestjs/common';
import { ApplicationConfig, DiscoveryService, MetadataScanner } from '@nestjs/core';
import { ConfigurationError } from '../common/index.js';
import { RateLimitGuard } from './rate-limit.guard.js';
import { RateLimitInterceptor } from './rate-limit.interceptor.js';
import { RateLimitStreamGuard } from './rate-limit-stream.guard.js';
import { isDecorated } from './route-metadata.js';
import type { RoutePlan, StagePlan } from './route-plan.js';
import { RoutePlanner, type Handler } from './route-planner.js';

/** What applies policies, and where Nest keeps whether it is bound. */
interface Part {
  readonly type: typeof RateLimitGuard | typeof RateLimitInterceptor | typeof RateLimitStreamGuard;
  readonly token: 'APP_GUARD' | 'APP_INTERCEPTOR';
  /** Key of what `UseGuards` or `UseInterceptors` names. */
  readonly metadata: string;
  globals(application: ApplicationConfig): readonly unknown[];
  /** Names of the policies of a handler that need it. */
  policiesOf(plan: RoutePlan): readonly string[];
}

interface CheckedHandler {
  readonly type: Type;
  readonly handler: Handler;
}

const ANY_GUARD = {
  token: 'APP_GUARD',
  metadata: '__guards__',
  globals: (application: ApplicationConfig) => [
    ...application.getGlobalGuards(),
    ...application.getGlobalRequestGuards().map(({ metatype }) => metatype),
  ],
} as const;

const GUARD: Part = {
  ...ANY_GUARD,
  type: RateLimitGuard,
  policiesOf: ({ preAuth }) => namesOf(preAuth),
};

const STREAM_GUARD: Part = {
  ...ANY_GUARD,
  type: RateLimitStreamGuard,
  policiesOf: (plan) => (plan.isStream ? namesAfterAuth(plan) : []),
};

const INTERCEPTOR: Part = {
  type: RateLimitInterceptor,
  token: 'APP_INTERCEPTOR',
  metadata: '__interceptors__',
  globals: (application) => [
    ...application.getGlobalInterceptors(),
    ...application.getGlobalRequestInterceptors().map(({ metatype }) => metatype),
  ],
  policiesOf: (plan) => [...(plan.isStream ? [] : namesAfterAuth(plan)), ...plan.countOnly.keys()],
};

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
    const handlers = this.handlers();
    const parts = [GUARD, INTERCEPTOR, STREAM_GUARD];
    for (const { type, handler } of handlers) {
      const plan = this.planner.plan(type, handler);
      if (!isDecorated(type) && !isDecorated(handler)) continue;
      for (const part of parts) {
        const [policy] = part.policiesOf(plan);
        if (policy !== undefined && !this.isBound(part, type, handler)) {
          throw nobodyApplies(`${type.name}.${handler.name} has the policy`, policy, part);
        }
      }
    }
    for (const part of parts) this.checkDefaults(part, handlers);
  }

  /** Where a part is bound to some classes only, the defaults apply to those: somewhere is enough. */
  private checkDefaults(part: Part, handlers: readonly CheckedHandler[]): void {
    const plain = handlers.filter(({ type, handler }) => !isDecorated(type) && !isDecorated(handler));
    const [policy] = plain.flatMap(({ type, handler }) => part.policiesOf(this.planner.plan(type, handler)));
    if (policy === undefined || plain.some(({ type, handler }) => this.isBound(part, type, handler))) return;
    throw nobodyApplies('Option "defaultPolicies" has the policy', policy, part);
  }

  private isBound(part: Part, type: Type, handler: Handler): boolean {
    const own = [type, handler].flatMap(
      (target) => (Reflect.getMetadata(part.metadata, target) as unknown[] | undefined) ?? [],
    );
    return [...part.globals(this.application), ...own].some((bound) => isA(part.type, bound));
  }

  private handlers(): CheckedHandler[] {
    const classes = new Set<Type>();
    for (const { metatype } of this.discovery.getControllers()) add(classes, metatype);
    // Gateways and resolvers are providers like any other; their decorators tell.
    for (const { metatype } of this.discovery.getProviders()) {
      if (isClass(metatype) && (isDecorated(metatype) || this.handlersOf(metatype).some(isDecorated))) {
        classes.add(metatype);
      }
    }
    return [...classes].flatMap((type) => this.handlersOf(type).map((handler) => ({ type, handler })));
  }

  private handlersOf(type: Type): Handler[] {
    const prototype = type.prototype as Record<string, unknown>;
    return this.scanner
      .getAllMethodNames(prototype)
      .map((name) => prototype[name])
      .filter((handler): handler is Handler => typeof handler === 'function');
  }
}

function namesOf(stage: StagePlan): string[] {
  return stage.flatMap(({ policies }) => policies.map(({ name }) => name));
}

function namesAfterAuth({ postAuth, slots }: RoutePlan): string[] {
  return [...namesOf(postAuth), ...slots.map(({ policy }) => policy.name)];
}

function nobodyApplies(what: string, policy: string, { type, token }: Part): ConfigurationError {
  return new ConfigurationError(
    `${what} "${policy}", which ${type.name} applies, but there is none; ` +
      `add { provide: ${token}, useClass: ${type.name} } to the providers of a module`,
  );
}

/** Enhancers are bound as classes or as instances. */
function isA({ prototype }: Part['type'], bound: unknown): boolean {
  const own: unknown = typeof bound === 'function' ? bound.prototype : bound;
  return own === prototype || prototype.isPrototypeOf(own as object);
}

function add(classes: Set<Type>, metatype: unknown): void {
  if (isClass(metatype)) classes.add(metatype);
}

/** Providers made by a factory have that as their type. */
function isClass(metatype: unknown): metatype is Type {
  return typeof metatype === 'function' && /^class\b/.test(Function.prototype.toString.call(metatype));
}
