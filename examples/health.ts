import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { HealthCheck, HealthCheckService, TerminusModule, type HealthCheckResult } from '@nestjs/terminus';
import { RedisModule } from 'rednest';
import { EmbeddedRedis } from 'rednest/embedded';
import { DrainHealthIndicator, RedisHealthIndicator, RedisHealthModule } from 'rednest/health';

@Controller('health')
class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly redis: RedisHealthIndicator,
    private readonly drain: DrainHealthIndicator,
  ) {}

  /** Never asks Redis: a restart of the application does not mend its server. */
  @Get('live')
  live(): { status: 'ok' } {
    return { status: 'ok' };
  }

  @Get('ready')
  @HealthCheck()
  ready(): Promise<HealthCheckResult> {
    return this.health.check([() => this.redis.isHealthy(), () => this.drain.isHealthy()]);
  }
}

@Module({
  imports: [TerminusModule.forRoot({ logger: false }), RedisHealthModule.forRoot()],
  controllers: [HealthController],
})
class HealthModule {}

const server = await EmbeddedRedis.start();
const app = await NestFactory.create(
  { module: HealthModule, imports: [RedisModule.forRoot({ app: 'probe', url: server.url })] },
  { logger: false },
);
await app.listen(0, '127.0.0.1');

const probe = async (route: string): Promise<string> =>
  `${route} ${(await fetch(`${await app.getUrl()}/health/${route}`)).status}`;
console.log(`with Redis: ${await probe('live')}, ${await probe('ready')}`);
await server.stop();
// A result is shared for 250 ms (option `cacheFor`).
await new Promise((resolve) => setTimeout(resolve, 300));
console.log(`without: ${await probe('live')}, ${await probe('ready')}`);
await app.close();
