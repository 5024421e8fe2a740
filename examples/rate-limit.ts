import { Controller, Get, Module } from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import { RedisModule } from 'rednest';
import { EmbeddedRedis } from 'rednest/embedded';
import { RateLimit, RateLimiter, RateLimitGuard, RateLimitModule } from 'rednest/rate-limit';

@Controller()
class SearchController {
  @Get('search')
  @RateLimit({ name: 'search', limit: 2, window: '10s' })
  search(): { hits: number } {
    return { hits: 0 };
  }
}

@Module({
  imports: [
    RedisModule.forRoot({ app: 'search', embedded: EmbeddedRedis }),
    RateLimitModule.forRoot({ defaultPolicies: [{ name: 'client', limit: 100, window: '1m' }] }),
  ],
  controllers: [SearchController],
  providers: [{ provide: APP_GUARD, useClass: RateLimitGuard }],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
await app.listen(0, '127.0.0.1');

// Over HTTP: the guard writes the fields and refuses the third request.
for (let request = 1; request <= 3; request += 1) {
  const { status, headers } = await fetch(`${await app.getUrl()}/search`);
  console.log(`request ${request}: ${status}, RateLimit: ${headers.get('ratelimit')}`);
}

// In code: a refusal is a value, not an exception.
const limiter = app.get(RateLimiter);
const reports = { name: 'reports', limit: 1, window: '1h' } as const;
await limiter.consume(['tenant', 'acme'], reports);
const { allowed, retryAfterMs, source } = await limiter.consume(['tenant', 'acme'], reports);
console.log(`report: allowed ${allowed}, again within the hour ${retryAfterMs > 0}, by ${source}`);

await app.close();
