import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { InjectRedis, RedisModule, type RedisClient } from 'rednest';
import { CacheModule, CacheService } from 'rednest/cache';
import { EmbeddedRedis } from 'rednest/embedded';

@Injectable()
class Shop {
  constructor(
    @InjectRedis() private readonly redis: RedisClient,
    private readonly cache: CacheService,
  ) {}

  async visit(book: string): Promise<string> {
    const cents = await this.cache.getOrSet(['price', book], async () => 1999, { ttl: 'short' });
    const visits = await this.redis.incr(`shop:visits:${book}`);
    return `${book}: ${cents} cents, visit ${visits}, prices loaded: ${this.cache.stats().loads}`;
  }
}

const imports = [RedisModule.forRoot({ app: 'shop', embedded: EmbeddedRedis }), CacheModule.forRoot()];
@Module({ imports, providers: [Shop] })
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
console.log(await app.get(Shop).visit('dune'));
console.log(await app.get(Shop).visit('dune'));
await app.close();
