// An application under @nestjs/throttler with our storage, in a process of its own: the throttler is CommonJS and
// requires Nest, which is ESM, and Jest cannot do that on Node 20.
// Arguments: adapter, URL of the server, key prefix. Sends its address to the parent; ends with the parent.
import { Controller, Get, Module } from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { SkipThrottle, Throttle, ThrottlerGuard, ThrottlerModule } from '@nestjs/throttler';
import { RedisModule } from 'rednest';
import { RateLimitModule, RedisThrottlerStorage } from 'rednest/rate-limit';

const [adapter, url, prefix] = process.argv.slice(2);

@Controller()
class Routes {
  @Get('two')
  two(): string {
    return 'ok';
  }

  @Get('unblocked')
  @Throttle({ default: { limit: 1, ttl: 700, blockDuration: 0 } })
  unblocked(): string {
    return 'ok';
  }

  @Get('blocked')
  @Throttle({ default: { limit: 1, ttl: 200, blockDuration: 60_000 } })
  blocked(): string {
    return 'ok';
  }

  @Get('named')
  @SkipThrottle({ default: true })
  @Throttle({ short: { limit: 1, ttl: 60_000 } })
  named(): string {
    return 'ok';
  }

  @Get('free')
  @SkipThrottle({ default: true, short: true })
  free(): string {
    return 'ok';
  }
}

@Module({
  imports: [
    RedisModule.forRoot({ url, app: prefix, env: {} }),
    RateLimitModule.forRoot({ timeout: '1s' }),
    ThrottlerModule.forRootAsync({
      inject: [RedisThrottlerStorage],
      useFactory: (storage: RedisThrottlerStorage) => ({
        throttlers: [
          { ttl: 60_000, limit: 2 },
          { name: 'short', ttl: 1000, limit: 1000 },
        ],
        storage,
      }),
    }),
  ],
  controllers: [Routes],
  providers: [{ provide: APP_GUARD, useClass: ThrottlerGuard }],
})
class App {}

const app = await NestFactory.create(
  App,
  adapter === 'express' ? new ExpressAdapter() : new FastifyAdapter(),
  {
    logger: false,
  },
);
process.once('disconnect', () => void app.close());
await app.listen(0, '127.0.0.1');
process.send?.(await app.getUrl());
