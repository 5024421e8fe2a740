import { setTimeout as delay } from 'node:timers/promises';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DrainRegistry, enableGracefulShutdown, InjectRedis, RedisModule, type RedisClient } from 'rednest';
import { EmbeddedRedis } from 'rednest/embedded';

@Controller()
class ReportController {
  constructor(@InjectRedis() private readonly redis: RedisClient) {}

  /** Still running when the signal comes, and uses Redis after it. */
  @Get('report')
  async report(): Promise<{ reports: number }> {
    await delay(300);
    return { reports: await this.redis.incr('reports') };
  }
}

@Module({
  imports: [RedisModule.forRoot({ app: 'reports', embedded: EmbeddedRedis, shutdownTimeout: '10s' })],
  controllers: [ReportController],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
enableGracefulShutdown(app, {
  onEvent: (event, signal) => console.log(`${signal}: ${event}`),
});

// Work of your own that has to end before anything is torn down.
app.get(DrainRegistry).register({
  name: 'nightly import',
  drain: async (signal) => {
    await delay(50, undefined, { signal });
    console.log('import has stopped');
  },
});

await app.listen(0, '127.0.0.1');
const url = await app.getUrl();
const answer = fetch(`${url}/report`).then((response) => response.json());
await delay(100);
process.kill(process.pid, 'SIGTERM');
console.log(`the open request is answered: ${JSON.stringify(await answer)}`);
