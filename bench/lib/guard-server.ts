// One application per kind of rate limit, all in this process: two processes that do the same differ by more (what the
// compiler made of them, where their memory lies) than a guard costs. Only one of them is asked at a time, so that the
// CPU time of the process is its own.
// Arguments: adapter, URL of the Redis server. Sends the ports to the parent, then its CPU time when asked.
import { ThrottlerStorageRedisService } from '@nest-lab/throttler-storage-redis';
import { Controller, Get, Module, type DynamicModule, type Provider } from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { ThrottlerGuard, ThrottlerModule } from '@nestjs/throttler';
import { Redis } from 'ioredis';
import { RedisModule } from '../../dist/index.js';
import { RateLimitGuard, RateLimitModule } from '../../dist/rate-limit/index.js';
import { GUARD_VARIANTS, type GuardVariant } from './guard-variants.js';

const [adapter, url] = process.argv.slice(2) as [string, string];

/** Never reached: what is measured is a request that passes. */
const LIMIT = 50_000_000;
const WINDOWS = [
  ['minute', 60_000],
  ['quarter', 900_000],
  ['hour', 3_600_000],
] as const;

@Controller()
class Routes {
  @Get()
  get(): string {
    return 'ok';
  }
}

function rednest(variant: GuardVariant, count: number): { imports: DynamicModule[]; providers: Provider[] } {
  const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };
  return {
    imports: [
      RedisModule.forRoot({ app: `bench-${variant}`, env: {}, url, logger: silent }),
      RateLimitModule.forRoot({
        timeout: '1s',
        onError: 'closed',
        defaultPolicies: WINDOWS.slice(0, count).map(([name, window]) => ({ name, limit: LIMIT, window })),
      }),
    ],
    providers: [{ provide: APP_GUARD, useClass: RateLimitGuard }],
  };
}

function throttler(
  variant: GuardVariant,
  count: number,
): { imports: DynamicModule[]; providers: Provider[] } {
  const storage = new ThrottlerStorageRedisService(new Redis(url, { keyPrefix: `${variant}:` }));
  return {
    imports: [
      ThrottlerModule.forRoot({
        throttlers: WINDOWS.slice(0, count).map(([name, ttl]) => ({ name, ttl, limit: LIMIT })),
        storage,
      }),
    ],
    providers: [{ provide: APP_GUARD, useClass: ThrottlerGuard }],
  };
}

function parts(variant: GuardVariant): { imports: DynamicModule[]; providers: Provider[] } {
  switch (variant) {
    case 'none':
      return { imports: [], providers: [] };
    case 'rednest-1':
      return rednest(variant, 1);
    case 'rednest-3':
      return rednest(variant, 3);
    case 'throttler-1':
      return throttler(variant, 1);
    case 'throttler-3':
      return throttler(variant, 3);
  }
}

/** Starts an application; gives its port. */
async function start(variant: GuardVariant): Promise<number> {
  @Module({ ...parts(variant), controllers: [Routes] })
  class App {}

  const app = await NestFactory.create(
    App,
    adapter === 'express' ? new ExpressAdapter() : new FastifyAdapter(),
    { logger: ['error'] },
  );
  await app.listen(0, '127.0.0.1');
  return Number(new URL(await app.getUrl()).port);
}

const ports: number[] = [];
for (const variant of GUARD_VARIANTS) ports.push(await start(variant));
process.on('message', () => process.send?.(process.cpuUsage()));
process.once('disconnect', () => process.exit());
process.send?.(ports);
