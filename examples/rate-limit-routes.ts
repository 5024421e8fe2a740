import { Controller, Get, Module, Post, type ExecutionContext } from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import { RedisModule } from 'rednest';
import { EmbeddedRedis } from 'rednest/embedded';
import { RateLimit, RateLimitGuard, RateLimitModule, SkipRateLimit } from 'rednest/rate-limit';

// #region routes
@Controller('auth')
@RateLimit('burst')
class AuthController {
  // In addition to 'burst': 5 logins per minute and address, counted for this route alone.
  @Post('login')
  @RateLimit({ name: 'login', limit: 5, window: '1m', onError: 'closed' })
  login(): string {
    return 'welcome';
  }

  @Get('health')
  @SkipRateLimit()
  health(): string {
    return 'ok';
  }
}
// #endregion

// #region tenant
const tenantOf = (context: ExecutionContext): string | undefined =>
  context.switchToHttp().getRequest<{ headers: Record<string, string | undefined> }>().headers['x-tenant'];

@Controller('reports')
class ReportsController {
  // Requests without a tenant are not under the first policy, only under the second.
  @Get()
  @RateLimit(
    { name: 'tenant', limit: 2, window: '1m', key: tenantOf },
    { name: 'address', limit: 1000, window: '1m' },
  )
  list(): string[] {
    return [];
  }
}
// #endregion

// #region module
@Module({
  imports: [
    RedisModule.forRoot({ app: 'accounts', embedded: EmbeddedRedis }),
    RateLimitModule.forRoot({
      policies: [{ name: 'burst', limit: 10, window: '1s' }],
      defaultPolicies: ['burst', { name: 'hour', limit: 1000, window: '1h' }],
    }),
  ],
  controllers: [AuthController, ReportsController],
  providers: [{ provide: APP_GUARD, useClass: RateLimitGuard }],
})
class AppModule {}
// #endregion

const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
await app.listen(0, '127.0.0.1');
const url = await app.getUrl();

const logins = [];
for (let request = 1; request <= 6; request += 1) {
  logins.push((await fetch(`${url}/auth/login`, { method: 'POST' })).status);
}
console.log(`six logins: ${logins.join(' ')}`);
console.log(`health: ${(await fetch(`${url}/auth/health`)).headers.get('ratelimit') ?? 'not limited'}`);

for (const tenant of ['acme', 'acme', 'acme', 'other']) {
  const { status } = await fetch(`${url}/reports`, { headers: { 'x-tenant': tenant } });
  console.log(`${tenant}: ${status}`);
}

await app.close();
