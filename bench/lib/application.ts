import { NestFactory } from '@nestjs/core';
import { CacheModule, CacheService } from '../../dist/cache/index.js';
import { ConnectionRegistry, RedisModule, type RedisClient, type RedisExecutor } from '../../dist/index.js';
import { QueueModule, QueueService } from '../../dist/queue/index.js';
import { RateLimiter, RateLimitModule } from '../../dist/rate-limit/index.js';
import type { ServerMeter } from './server-meter.js';

/** Queue that the queue benchmark adds to. */
export const QUEUE = 'bench__jobs';

/** Connection beside the default one: same server, same options, used by floors and peers. */
const FLOOR = 'floor';

/** An application with every capability, and the parts of it that benchmarks use. */
export interface BenchApplication {
  readonly url: string;
  readonly meter: ServerMeter;
  readonly executor: RedisExecutor;
  readonly cache: CacheService;
  readonly limiter: RateLimiter;
  readonly queues: QueueService;
  /** The raw client of the second connection, for floors and peers. */
  readonly floor: (role?: 'command' | 'producer') => RedisClient;
  close(): Promise<void>;
}

/** The root module: dynamic, because a benchmark needs no decorators. */
class BenchModule {}

/** Boots the application on a server. */
export async function startApplication(url: string, meter: ServerMeter): Promise<BenchApplication> {
  const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };
  const root = {
    module: BenchModule,
    imports: [
      RedisModule.forRoot({
        app: 'bench',
        env: {},
        url,
        connections: { [FLOOR]: { url } },
        logger: silent,
      }),
      CacheModule.forRoot(),
      RateLimitModule.forRoot({ timeout: '1s', onError: 'closed' }),
      QueueModule.forRoot({ role: 'producer' }),
      QueueModule.forFeature([QUEUE]),
    ],
  };
  const context = await NestFactory.createApplicationContext(root, { logger: false });
  const registry = context.get(ConnectionRegistry);
  return {
    url,
    meter,
    executor: registry.executor(),
    cache: context.get(CacheService),
    limiter: context.get(RateLimiter),
    queues: context.get(QueueService),
    floor: (role = 'command') => registry.client(FLOOR, role),
    close: () => context.close(),
  };
}
