import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { RedisModule } from 'rednest';
import { CacheModule, CacheService, InjectCache } from 'rednest/cache';
import { EmbeddedRedis } from 'rednest/embedded';

interface User {
  readonly id: number;
  readonly name: string;
}

/** Stands for a database. */
class Database {
  reads = 0;
  private readonly users = new Map<number, User>([[1, { id: 1, name: 'Ada' }]]);

  async find(id: number): Promise<User | null> {
    this.reads += 1;
    return this.users.get(id) ?? null;
  }

  async save(user: User): Promise<void> {
    this.users.set(user.id, user);
  }
}

@Injectable()
class Users {
  constructor(
    @InjectCache('users') private readonly cache: CacheService,
    private readonly database: Database,
  ) {}

  /** One load in the whole fleet; an old value stands in for a database that fails. */
  find(id: number): Promise<User | null> {
    return this.cache.getOrSet(['user', id], () => this.database.find(id));
  }

  /** The database first, then the cache. */
  rename(id: number, name: string): Promise<User> {
    return this.cache.writeThrough(['user', id], { id, name }, (user) => this.database.save(user));
  }

  forgetAll(): Promise<boolean> {
    return this.cache.deleteByTag('users');
  }
}

@Module({
  imports: [
    RedisModule.forRoot({ app: 'users', embedded: EmbeddedRedis }),
    CacheModule.forRoot({ ttl: 'medium' }),
    CacheModule.forFeature('users', { ttl: 'short', grace: '1h', tags: ['users'] }),
  ],
  providers: [Users, Database],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
const users = app.get(Users);
const database = app.get(Database);

const found = await Promise.all(Array.from({ length: 100 }, () => users.find(1)));
console.log(`${found.length} callers, ${database.reads} read of the database`);

await users.rename(1, 'Ada Lovelace');
console.log(`after the write: ${(await users.find(1))?.name}, ${database.reads} read`);

await users.forgetAll();
console.log(`after the invalidation: ${(await users.find(1))?.name}, ${database.reads} reads`);

// Counters that reach the store later, together.
const total = { views: 0 };
const views = app.get(CacheService).writeBehind<number>({
  name: 'views',
  merge: (earlier, later) => earlier + later,
  flush: (items) => {
    for (const { value } of items) total.views += value;
  },
});
for (let count = 0; count < 1000; count += 1) views.put(['campaign', 'c1'], 1);
await app.close();
console.log(`views stored: ${total.views}, lost: ${views.stats().lost}`);
