// Must compile as it stands: every line under "@ts-expect-error" must not.
import { HttpException, type ExecutionContext } from '@nestjs/common';
import type { ThrottlerStorage } from '@nestjs/throttler';
import {
  Concurrency,
  InjectOutbound,
  OutboundLimitModule,
  RateLimit,
  RateLimitGuard,
  RateLimitInfo,
  RateLimitInterceptor,
  RateLimitModule,
  type OutboundLimiter,
  type RateLimitDecision,
  type RateLimitRefusal,
  type RedisThrottlerStorage,
} from 'rednest/rate-limit';

const policy = { name: 'p', limit: 10, window: '1m' } as const;

export class Routes {
  @RateLimit(
    { ...policy, key: 'user', stage: 'post-auth', countOnly: 'failures' },
    { ...policy, name: 'q', key: 'api-key', cost: 2 },
    {
      ...policy,
      name: 'r',
      key: 'tenant',
      resolve: async ([, tenant]) => (tenant === 'a' ? { limit: 5 } : undefined),
    },
    { ...policy, name: 's', cost: (context: ExecutionContext) => context.getArgs().length, charge: 'field' },
  )
  @Concurrency({ name: 'c', limit: 4, lease: '30s', key: 'user', maxWait: '1s' })
  all(@RateLimitInfo() info?: RateLimitDecision): number | undefined {
    return info?.policies[0]?.remaining;
  }

  // @ts-expect-error there is no such stage
  @RateLimit({ ...policy, stage: 'later' })
  stage(): void {}

  // @ts-expect-error an outcome is failures or successes
  @RateLimit({ ...policy, countOnly: 'errors' })
  outcome(): void {}

  // @ts-expect-error a cost is a number
  @RateLimit({ ...policy, cost: () => '1' })
  cost(): void {}

  // @ts-expect-error slots have no window
  @Concurrency({ name: 'c', limit: 4, window: '1m' })
  slots(): void {}
}

export const modules = [
  RateLimitModule.forRoot({
    missingAddress: 'shared',
    identify: { user: (context) => context.switchToHttp().getRequest<{ user?: { id: string } }>().user?.id },
    headers: { fields: 'all', legacy: true },
  }),
  // @ts-expect-error an identifier gives text
  RateLimitModule.forRoot({ identify: { user: () => 7 } }),
  // @ts-expect-error unknown fields
  RateLimitModule.forRoot({ headers: { fields: 'some' } }),
  OutboundLimitModule.forFeature([
    { name: 'maps', limit: 10, window: '1m' },
    {
      name: 'mail',
      limit: 5,
      window: '1s',
      pace: true,
      margin: 0.1,
      maxWait: '30s',
      pause: '10s',
      onError: 'closed',
    },
  ]),
  // @ts-expect-error no window
  OutboundLimitModule.forFeature([{ name: 'maps', limit: 10 }]),
];

export class Guard extends RateLimitGuard {
  protected override respond(_context: ExecutionContext, error: RateLimitRefusal): never {
    throw new HttpException({ code: error.code }, 429, { cause: error });
  }
}

export class Interceptor extends RateLimitInterceptor {
  protected override getTracker(): string {
    return 'everybody';
  }
}

export class Service {
  constructor(@InjectOutbound('maps') private readonly maps: OutboundLimiter) {}

  async call(signal: AbortSignal): Promise<number> {
    await this.maps.acquire(['tenant', 'a'], { maxWait: '5s', signal });
    const { remaining, isPaused } = await this.maps.peek('a');
    await this.maps.pause('a', remaining);
    const text: string = await this.maps.run('a', async () => 'ok', { signal });
    // @ts-expect-error a task gives a promise
    await this.maps.run('a', () => 'ok');
    return isPaused ? 0 : text.length;
  }
}

/** The storage is what the throttler asks for. */
export function storage(own: RedisThrottlerStorage): ThrottlerStorage {
  return own;
}
