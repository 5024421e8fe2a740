// Must compile as it stands: every line under "@ts-expect-error" must not.
import type { ExecutionContext } from '@nestjs/common';
import {
  RateLimit,
  RateLimitGuard,
  RateLimitModule,
  SkipRateLimit,
  type Policy,
  type RateLimitDecision,
  type RateLimiter,
} from 'rednest/rate-limit';

declare const limiter: RateLimiter;
const policy: Policy = { name: 'burst', limit: 10, window: '1s' };
const policies: readonly Policy[] = [
  policy,
  { name: 'hour', limit: 100, window: 3_600_000, onError: 'closed' },
];

export async function service(): Promise<RateLimitDecision> {
  await limiter.consume('id', policy);
  await limiter.consume(['tenant', 't1'] as const, policies, { cost: 2 });
  await limiter.reset('id', policies);
  const { violated, source } = await limiter.peek('id', policy);
  const names: readonly string[] = violated;
  const by: 'redis' | 'deny-cache' | 'local' | 'open' = source;
  await limiter.consume('id', policies, { cost: { burst: 2 } });
  await limiter.consumeAll([{ id: ['ip', 'x'], policies, cost: 2 }]);
  await limiter.acquire('id', policy, { maxWait: '5s', signal: AbortSignal.timeout(10) });
  const value: number = await limiter.wrap('id', policy, async () => 7, { countOnly: 'failures' });
  await using slot = await limiter.concurrency('id', { name: 'jobs', limit: value, lease: '30s' });
  slot.signal.throwIfAborted();
  const { receipt } = await limiter.consume('id', { ...policy, algorithm: 'gcra', burst: 2 });
  const isBack: boolean = receipt ? await limiter.refund(receipt) : false;
  await limiter.block('id', { ...policy, block: { for: ['1m', '5m'] } }, isBack ? '1h' : 1000);
  // @ts-expect-error a receipt comes from a decision
  await limiter.refund({ id: 'id' });
  // @ts-expect-error unknown algorithm
  await limiter.consume('id', { ...policy, algorithm: 'leaky' });
  // @ts-expect-error outcomes are failures or successes
  await limiter.wrap('id', policy, async () => 7, { countOnly: 'errors' });
  // @ts-expect-error an identity is text
  await limiter.consume(7, policy);
  // @ts-expect-error a named policy is for decorators
  await limiter.consume('id', 'burst');
  // @ts-expect-error a cost is a number, or numbers by policy
  await limiter.consume('id', policy, { cost: '1' });
  const decision = await limiter.enforce(names, policy);
  // @ts-expect-error a decision is read-only
  decision.allowed = true;
  return by === 'redis' ? decision : limiter.enforce('id', policy);
}

export const modules = [
  RateLimitModule.forRoot(),
  RateLimitModule.forRoot({ timeout: '50ms', onError: 'open', ipv6Prefix: 56, isGlobal: false }),
  RateLimitModule.forRoot({ policies: [policy], defaultPolicies: ['burst', policy] }),
  RateLimitModule.forRootAsync({ useFactory: () => ({ connection: 'limits' }) }),
  RateLimitModule.forRoot({ onError: 'local', instances: 4, denyCache: false, resolveTtl: '1m' }),
  // @ts-expect-error unknown behaviour
  RateLimitModule.forRoot({ onError: 'maybe' }),
  // @ts-expect-error a duration has a unit
  RateLimitModule.forRoot({ timeout: '50' }),
  // @ts-expect-error unknown option
  RateLimitModule.forRoot({ prefix: 'rl' }),
];

const byTenant = (context: ExecutionContext): string | undefined =>
  context.switchToHttp().getRequest<{ tenant?: string }>().tenant;

@RateLimit('burst', { ...policy, key: byTenant, scope: 'class' })
export class Routes {
  @RateLimit(policy)
  @SkipRateLimit('burst')
  ok(): void {}

  @SkipRateLimit()
  free(): void {}

  // @ts-expect-error nothing to limit by
  @RateLimit()
  empty(): void {}

  // @ts-expect-error no window
  @RateLimit({ name: 'x', limit: 1 })
  incomplete(): void {}

  // @ts-expect-error a key is 'ip' or a function
  @RateLimit({ ...policy, key: 'x-api-key' })
  header(): void {}

  // @ts-expect-error a key is text
  @RateLimit({ ...policy, key: () => 7 })
  number(): void {}
}

export class CustomGuard extends RateLimitGuard {
  protected override getTracker(context: ExecutionContext): string {
    return byTenant(context) ?? super.getTracker(context);
  }
}
