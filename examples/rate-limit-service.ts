import { NestFactory } from '@nestjs/core';
import { Module } from '@nestjs/common';
import { RedisModule } from 'rednest';
import { EmbeddedRedis } from 'rednest/embedded';
import { RateLimiter, RateLimitModule, type Policy } from 'rednest/rate-limit';

@Module({
  imports: [RedisModule.forRoot({ app: 'limits', embedded: EmbeddedRedis }), RateLimitModule.forRoot()],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
const limiter = app.get(RateLimiter);

// #region consume
async function report(tenantId: string): Promise<string> {
  const decision = await limiter.consume(['tenant', tenantId], { name: 'reports', limit: 20, window: '1d' });
  return decision.allowed ? 'here it is' : `next report in ${decision.retryAfterMs} ms`;
}
// #endregion
console.log(await report('acme'));

// #region rows
async function read(userId: string, rows: readonly string[]): Promise<readonly string[]> {
  const perHour: Policy = { name: 'rows', limit: 100_000, window: '1h' };
  await limiter.enforce(['user', userId], perHour, { cost: rows.length });
  return rows;
}
// #endregion
console.log(`${(await read('ann', ['a', 'b', 'c'])).length} rows read`);

// #region plans
const plans: Record<string, number> = { free: 100, pro: 10_000 };
const planOf = async (tenant: string): Promise<string> => (tenant === 'acme' ? 'pro' : 'free');

const calls: Policy = {
  name: 'calls',
  limit: 100,
  window: '1h',
  // Asked once per tenant and 10 s (`resolveTtl`).
  resolve: async (id) => ({ limit: plans[await planOf(id[1]!)] ?? 100 }),
};
// #endregion
const acme = await limiter.consume(['tenant', 'acme'], calls);
console.log(`acme: ${acme.policies[0]?.remaining} of ${acme.policies[0]?.limit} left`);

// #region login
const attempts: Policy = {
  name: 'login',
  limit: 5,
  window: '15m',
  block: { for: ['15m', '1h', '1d'] },
};

async function login(name: string, password: string): Promise<string> {
  const check = async (): Promise<string> => {
    if (password !== 'secret') throw new Error('wrong password');
    return `welcome, ${name}`;
  };
  // Five wrong passwords and the name is out for 15 minutes; right ones do not count.
  return limiter.wrap(['login', name], attempts, check, { countOnly: 'failures' });
}
// #endregion
for (let attempt = 1; attempt <= 6; attempt += 1) {
  await login('ada', 'guess').catch((error: Error) => console.log(`attempt ${attempt}: ${error.name}`));
}

// #region paced
const provider: Policy = { name: 'provider', limit: 20, window: '1s', algorithm: 'gcra', burst: 1 };

const startedMs = performance.now();
await Promise.all(
  ['a', 'b', 'c'].map(async (word) => {
    // One round trip: reserves the next free moment of all processes, then waits for it.
    await limiter.acquire('provider', provider, { maxWait: '5s' });
    return word;
  }),
);
// #endregion
console.log(`three paced calls took 100 ms or more: ${performance.now() - startedMs >= 95}`);

// #region slots
{
  await using slot = await limiter.concurrency(['tenant', 'acme'], {
    name: 'exports',
    limit: 4,
    lease: '30s',
  });
  console.log(`exporting, slot by ${slot.source}`);
}
// #endregion

await app.close();
