import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ConnectionRegistry, InjectRedis, RedisModule, type RedisClient } from 'rednest';
import { CacheModule, CacheService } from 'rednest/cache';
import { EmbeddedRedis } from 'rednest/embedded';

/** Two servers: one that must keep what it holds, and one that may evict. */
const [main, evicting] = await Promise.all([EmbeddedRedis.start(), EmbeddedRedis.start()]);

@Injectable()
class Pages {
  constructor(
    @InjectRedis() readonly redis: RedisClient,
    @InjectRedis('cache') readonly cacheServer: RedisClient,
    readonly cache: CacheService,
  ) {}
}

@Module({
  imports: [
    RedisModule.forRoot({
      app: 'pages',
      url: main.url,
      connections: { cache: { url: evicting.url, timeouts: { command: '200ms' } } },
    }),
    CacheModule.forRoot({ connection: 'cache' }),
  ],
  providers: [Pages],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
const { redis, cacheServer, cache } = app.get(Pages);
await cache.set('home', '<h1>Hello</h1>');

console.log(`keys: main ${await redis.dbsize()}, cache ${await cacheServer.dbsize()}`);
for (const { connection, role, state } of app.get(ConnectionRegistry).snapshot()) {
  console.log(`${connection}/${role}: ${state}`);
}
await app.close();
await Promise.all([main.stop(), evicting.stop()]);
