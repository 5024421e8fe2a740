import { Controller, Get, Injectable, Param, Res, type INestApplication } from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { RedisModule, type RedisModuleOptions } from 'rednest';
import {
  Cacheable,
  CacheConfig,
  CacheEvict,
  CacheManagerModule,
  CacheModule,
  CachePut,
  CacheService,
  Caching,
  CACHE_MANAGER,
  HttpCache,
  HttpCacheInterceptor,
  type CacheManager,
  type CacheOptions,
} from 'rednest/cache';
import { eventually } from './eventually.js';
import { TestLog } from './test-log.js';

/** So many that, over all kinds of keys, every bucket of a Cluster has some. */
const IDS = Array.from({ length: 40 }, (_, id) => id);
const TAGS = ['all', 'some'];

const slowly = <T>(value: T) => new Promise<T>((resolve) => setTimeout(resolve, 250, value));
const fail = (): Promise<never> => Promise.reject(new Error('the store is gone'));

@Injectable()
@CacheConfig({ cache: 'users' })
class Users {
  @Cacheable({ key: (id: number) => ['user', id], tags: (id: number) => ['users', `user:${id}`] })
  async find(id: number): Promise<object> {
    return { id };
  }

  @CachePut({ key: (id: number) => ['user', id], tags: ['users'] })
  async rename(id: number, name: string): Promise<object | undefined> {
    return name === '' ? undefined : { id, name };
  }

  @Caching({ put: { key: (id: number) => ['user', id] }, evict: { tags: ['users'] } })
  async save(id: number): Promise<object> {
    return { id };
  }

  @CacheEvict({ key: (id: number) => ['user', id] })
  async remove(_id: number): Promise<void> {}

  @CacheEvict({ key: (id: number) => ['user', id], beforeInvocation: true })
  async touch(_id: number): Promise<void> {}

  @CacheEvict({ allEntries: true })
  async reset(): Promise<void> {}
}

@Controller('pages')
class Pages {
  @Get('kept/:id')
  @HttpCache({ tags: ['pages'], grace: '1h', staleWhileRevalidate: true })
  kept(@Param('id') id: string): object {
    return { id };
  }

  @Get('personal/:id')
  @HttpCache()
  personal(
    @Param('id') id: string,
    @Res({ passthrough: true }) response: { header(n: string, v: string): unknown },
  ) {
    response.header('Set-Cookie', `page=${id}`);
    return { id };
  }
}

/** An application that uses its cache in every way there is. */
export class CacheUser {
  private constructor(
    private readonly app: INestApplication,
    private readonly cache: CacheService,
  ) {}

  /** Starts one that listens for HTTP. */
  static async start(redis: RedisModuleOptions, options: CacheOptions): Promise<CacheUser> {
    const module = await Test.createTestingModule({
      imports: [
        RedisModule.forRoot({ env: {}, logger: new TestLog(), ...redis }),
        CacheModule.forRoot({ timeout: '10s', ...options }),
        CacheModule.forFeature('users'),
        CacheManagerModule.register(),
      ],
      controllers: [Pages],
      providers: [Users, { provide: APP_INTERCEPTOR, useClass: HttpCacheInterceptor }],
    }).compile();
    const app = module.createNestApplication(new FastifyAdapter(), { logger: false });
    await app.listen(0, '127.0.0.1');
    return new CacheUser(app, app.get(CacheService));
  }

  /** Numbers of all its caches. */
  stats(): ReturnType<CacheService['stats']> {
    return this.cache.stats();
  }

  close(): Promise<void> {
    return this.app.close();
  }

  /** Does everything, on keys of every bucket. */
  async useAll(other: CacheUser): Promise<void> {
    await this.useEntries();
    await this.useLoads(other.cache);
    await this.useMany(other.cache);
    await this.useStores();
    await this.useDecorators();
    await this.useHttp();
    await this.useManager();
    await this.invalidate(this.cache);
    await this.invalidate(this.cache.namespace('other', { version: 2 }));
    await this.idle();
  }

  private async useEntries(): Promise<void> {
    const { cache } = this;
    for (const key of IDS.map((id) => ['k', id])) {
      await cache.set(key, 1, { tags: TAGS });
      await cache.add(key, 2, { tags: TAGS });
      await cache.add([...key, 'new'], 2, { tags: TAGS });
      await cache.get(key);
      await cache.get(key, { memory: false });
      await cache.getEntry(key);
      await cache.has(key);
    }
  }

  private async useLoads(other: CacheService): Promise<void> {
    const { cache } = this;
    for (const id of IDS) {
      await cache.getOrSet(['loaded', id], () => id, { tags: TAGS });
      await cache.wrap(['loaded', id], () => id, { forceRefresh: true });
      await cache.getOrSet(['alone', id], () => id, { lease: false });
      await cache.getOrSet(['failing', id], fail).catch(() => undefined);
    }
    await cache.warmup(IDS.map((id) => ({ key: ['warm', id], loader: () => id, tags: TAGS })));
    // Who comes second waits for a load that takes longer than its lease.
    const lease = { lease: '100ms' } as const;
    await Promise.all([cache, other].map((each) => each.getOrSet('slow', () => slowly(1), lease)));
    await this.useStaleValues();
  }

  private async useStaleValues(): Promise<void> {
    const { cache } = this;
    const options = { grace: '1h', graceBackoff: '1s' } as const;
    for (const id of IDS.slice(0, 8)) await cache.getOrSet(['stale', id], () => id, options);
    await this.idle();
    await cache.expire(...IDS.slice(0, 8).map((id) => ['stale', id]));
    // The second call finds that nobody may load for now.
    for (const id of [...IDS.slice(0, 4), ...IDS.slice(0, 4)])
      await cache.getOrSet(['stale', id], fail, options);
    for (const id of IDS.slice(4, 8))
      await cache.getOrSet(['stale', id], () => id, { ...options, staleWhileRevalidate: true });
    for (const id of IDS.slice(4, 8))
      await cache.getOrSet(['stale', id], () => id, { eagerRefresh: 0.000_001 });
  }

  private async useMany(other: CacheService): Promise<void> {
    const { cache } = this;
    const keys = IDS.map((id) => ['k', id]);
    const keyOf = (id: number) => ['many', id];
    const load = async (ids: number[]) => slowly(new Map(ids.map((id) => [id, id])));
    await cache.getMany(keys);
    await cache.setMany(keys.map((key) => ({ key, value: 5, tags: TAGS })));
    await Promise.all(
      [cache, other].map((each) => each.getOrSetMany(IDS, keyOf, load, { lease: '100ms', tags: TAGS })),
    );
    await cache.getOrSetMany(IDS, keyOf, load, { forceRefresh: true });
    await cache.getOrSetMany(
      IDS,
      (id) => ['none', id],
      async () => new Map(),
    );
    await cache.getOrSetMany(IDS, (id) => ['failing', 'many', id], fail).catch(() => undefined);
  }

  private async useStores(): Promise<void> {
    const { cache } = this;
    let isDown = false;
    const buffer = cache.writeBehind<number>({
      name: 'store',
      flush: () => (isDown ? fail() : undefined),
      cached: { tags: TAGS },
      attempts: 1,
    });
    for (const id of IDS) {
      await cache.writeThrough(['through', id], id, () => id, { tags: TAGS });
      await cache.writeThrough(['through', id], id, fail).catch(() => undefined);
      buffer.put(['behind', id], id);
    }
    await buffer.flush();
    isDown = true;
    for (const id of IDS) buffer.put(['behind', id], id);
    await buffer.flush();
  }

  private async useDecorators(): Promise<void> {
    const users = this.app.get(Users);
    for (const id of IDS) {
      await users.find(id);
      await users.rename(id, 'Ada');
      await users.rename(id, '');
      await users.save(id);
      await users.touch(id);
      await users.remove(id);
    }
    await users.reset();
  }

  private async useHttp(): Promise<void> {
    const url = await this.app.getUrl();
    const get = async (path: string, method = 'GET'): Promise<string | null> => {
      const response = await fetch(`${url}/pages/${path}`, { method });
      await response.arrayBuffer();
      return response.headers.get('x-cache');
    };
    const keep = (id: number, as: string) =>
      eventually(`page ${id} is ${as}`, async () => (await get(`kept/${id}`)) === as);
    for (const id of IDS.slice(0, 16)) {
      await get(`kept/${id}`, 'HEAD');
      await keep(id, 'HIT');
      await get(`personal/${id}`);
    }
    await this.cache.expireByTag('pages');
    await keep(0, 'HIT');
    await this.cache.deleteByTag('pages');
  }

  private async useManager(): Promise<void> {
    const manager = this.app.get<CacheManager>(CACHE_MANAGER);
    const keys = IDS.map((id) => `managed-${id}`);
    for (const key of keys) {
      await manager.set(key, 1);
      await manager.get(key);
      await manager.ttl(key);
      await manager.wrap(key, () => 1, 60_000, 120_000);
      await manager.wrap(`${key}-new`, () => 1, { raw: true });
      await manager.del(key);
    }
    await manager.mset(keys.map((key) => ({ key, value: 1 })));
    await manager.mget(keys);
    await manager.mdel(keys);
    await manager.clear();
  }

  private async invalidate(cache: CacheService): Promise<void> {
    const keys = IDS.map((id) => ['k', id]);
    await cache.setMany(keys.map((key) => ({ key, value: 5, tags: TAGS })));
    await cache.expire(...keys);
    await cache.expireByTag('some');
    await cache.getMany(keys);
    await cache.deleteByTag(...TAGS);
    await cache.delete(...keys);
    await cache.clear({ mode: 'expire' });
    await cache.clear();
  }

  private idle(): Promise<unknown> {
    return eventually('nothing is loaded or written', () => {
      const { inFlight, pendingWrites } = this.cache.stats();
      return inFlight === 0 && pendingWrites === 0;
    });
  }
}
