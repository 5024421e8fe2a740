import { Inject, Injectable, Logger, type ExecutionContext } from '@nestjs/common';
import { ConnectionRegistry } from '../redis/index.js';
import { adapterOf, type ContextAdapter } from './context-adapter.js';
import { objectOf, textOf } from './context-values.js';
import { hashedId } from './identity.js';
import type { ResolvedRateLimitOptions } from './rate-limit.options.js';
import { RATE_LIMIT_OPTIONS } from './rate-limit.tokens.js';
import type { RateLimitKey } from './route-policy.js';

/** Finds the address a request counts for; see `getTracker` of guard and interceptor. */
export type Tracker = (context: ExecutionContext) => string;

/** Kind and value, so that a user and an address of the same text are two. */
export type RequestIdentity = readonly [kind: string, value: string];

type FoundKey = Exclude<RateLimitKey, 'ip' | ((...args: never) => unknown)>;

/**
 * Works out whom a request counts for.
 *
 * @internal
 */
@Injectable()
export class RequestIdentities {
  private readonly logger = new Logger('RateLimitGuard');
  private readonly warned = new Set<FoundKey>();
  readonly missingAddress: 'error' | 'shared';

  constructor(
    @Inject(RATE_LIMIT_OPTIONS) private readonly options: ResolvedRateLimitOptions,
    @Inject(ConnectionRegistry) registry: ConnectionRegistry,
  ) {
    const { environment } = registry.configuration;
    this.missingAddress = options.missingAddress ?? (environment === 'production' ? 'shared' : 'error');
  }

  /** `undefined`: the policy does not apply. */
  find(context: ExecutionContext, key: RateLimitKey, tracker: Tracker): RequestIdentity | undefined {
    if (key === 'ip') return ['ip', tracker(context)];
    if (typeof key === 'function') {
      const value = key(context);
      return value === undefined ? undefined : ['key', value];
    }
    const value = this.lookUp(context, key);
    if (value !== undefined) return [key, key === 'api-key' ? hashedId(value) : value];
    this.warn(key);
    return [`no-${key}`, tracker(context)];
  }

  private lookUp(context: ExecutionContext, key: FoundKey): string | undefined {
    const { user, tenant, apiKey } = this.options.identify;
    const adapter = adapterOf(context);
    switch (key) {
      case 'user':
        return user ? user(context) : adapter && findUser(adapter, context);
      case 'tenant':
        return tenant ? tenant(context) : adapter && findTenant(adapter, context);
      case 'api-key':
        return apiKey ? apiKey(context) : adapter?.header(context, 'x-api-key');
    }
  }

  private warn(key: FoundKey): void {
    if (this.warned.has(key)) return;
    this.warned.add(key);
    this.logger.warn(
      `A request under a rate limit by ${key} has none and counts for its address; is the policy applied ` +
        'before authentication, or does "identify" of RateLimitModule look in the wrong place? Said once',
    );
  }
}

function findUser(adapter: ContextAdapter, context: ExecutionContext): string | undefined {
  for (const subject of adapter.subjects(context)) {
    const user = objectOf(subject['user']);
    const id = user && (textOf(user['id']) ?? textOf(user['sub']) ?? textOf(user['userId']));
    if (id !== undefined) return id;
  }
  return undefined;
}

function findTenant(adapter: ContextAdapter, context: ExecutionContext): string | undefined {
  for (const subject of adapter.subjects(context)) {
    const id = textOf(subject['tenantId']) ?? textOf(objectOf(subject['user'])?.['tenantId']);
    if (id !== undefined) return id;
  }
  return undefined;
}
