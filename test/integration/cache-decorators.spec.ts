import { afterEach, describe, expect, it } from '@jest/globals';
import {
  Controller,
  Get,
  Inject,
  Injectable,
  Module,
  Param,
  Scope,
  type INestApplication,
  type ModuleMetadata,
  type Provider,
} from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { ExpressAdapter } from '@nestjs/platform-express';
import { Test, type TestingModule } from '@nestjs/testing';
import { MessagePattern } from '@nestjs/microservices';
import { RedisModule } from 'rednest';
import {
  Cacheable,
  CacheConfig,
  CacheEvict,
  CacheMethodsModule,
  CacheModule,
  CachePut,
  CacheService,
  Caching,
  getCacheToken,
  NoCache,
} from 'rednest/cache';
import { createModule, inject } from '../support/app.js';
import { sharedPlace, startClusterPlace, startEmbeddedPlace, type Place } from '../support/cache-places.js';
import { eventually } from '../support/eventually.js';
import { failure } from '../support/failure.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { TestLog } from '../support/test-log.js';

interface User {
  id: string;
  name: string;
}

/** A store that counts. */
@Injectable()
class UserStore {
  readonly users = new Map<string, User>([['u1', { id: 'u1', name: 'Ada' }]]);
  reads = 0;
  fails = false;

  read(id: string): User | undefined {
    this.reads += 1;
    if (this.fails) throw new Error('store');
    return this.users.get(id);
  }
}

@Injectable()
@CacheConfig({ cache: 'users', ttl: 'long' })
class Users {
  constructor(@Inject(UserStore) readonly store: UserStore) {}

  @Cacheable({ key: (id: string) => ['user', id], tags: (id: string) => [`user:${id}`] })
  async find(id: string): Promise<User | undefined> {
    return this.store.read(id);
  }

  @Cacheable({ key: 'list:{0}', tags: ['lists'], unless: (list: User[]) => list.length === 0 })
  async list(prefix: string): Promise<User[]> {
    this.store.reads += 1;
    return [...this.store.users.values()].filter(({ name }) => name.startsWith(prefix));
  }

  @Cacheable({
    condition: (_id: string, fresh?: boolean) => !fresh,
    unless: (user: User | null) => user === null,
  })
  async maybe(id: string, _fresh?: boolean): Promise<User | null> {
    return this.store.read(id) ?? null;
  }

  @Caching({
    put: { key: (user: User) => ['user', user.id], tags: ['user:{0.id}'] },
    evict: { tags: ['lists'] },
  })
  async save(user: User): Promise<User> {
    if (this.store.fails) throw new Error('store');
    const stored = { ...user, name: user.name.trim() };
    this.store.users.set(user.id, stored);
    return stored;
  }

  @CachePut({ key: (id: string) => ['user', id], unless: (user: User) => user.name === '' })
  async rename(id: string, name: string): Promise<User | undefined> {
    if (name === 'nobody') return undefined;
    return { id, name };
  }

  @CachePut({ key: (id: string) => ['odd', id] })
  async odd(_id: string): Promise<unknown> {
    return { run: () => 1 };
  }

  @CacheEvict({ key: (id: string) => ['user', id] })
  async remove(id: string): Promise<void> {
    if (this.store.fails) throw new Error('store');
    this.store.users.delete(id);
  }

  @CacheEvict({ key: 'user:{0}', beforeInvocation: true })
  async touch(_id: string): Promise<void> {
    throw new Error('after the eviction');
  }

  @CacheEvict({ allEntries: true })
  async reset(): Promise<void> {}

  /** Calls itself: the decorators work there as well. */
  async twice(id: string): Promise<(User | undefined)[]> {
    return [await this.find(id), await this.find(id)];
  }
}

const untouched = Object.getOwnPropertyDescriptors(Users.prototype);

/** Modules with decorated providers, one at a time, closed after each test. */
function decorated(startPlace: () => Promise<Place>) {
  const place = sharedPlace(startPlace);
  let module: TestingModule | undefined;
  afterEach(() => module?.close());
  return {
    place,
    get module(): TestingModule {
      return module!;
    },
    async start(providers: Provider[], imports: ModuleMetadata['imports'] = []): Promise<TestingModule> {
      module = await createModule({
        redis: place.redis,
        imports: [CacheModule.forRoot(), CacheModule.forFeature('users'), ...imports],
        providers: [UserStore, ...providers],
      });
      return module;
    },
  };
}

describe('decorators of the cache', () => {
  behaviour(startEmbeddedPlace);
});
describeNative('decorators of the cache on a Cluster of 3 masters', () => {
  behaviour(startClusterPlace);
});

function behaviour(startPlace: () => Promise<Place>): void {
  const suite = decorated(startPlace);
  let module: TestingModule;
  let users: Users;
  let store: UserStore;

  async function start(...providers: Provider[]): Promise<TestingModule> {
    module = await suite.start(providers);
    store = inject(module, UserStore);
    return module;
  }

  async function startUsers(): Promise<void> {
    await start(Users);
    users = inject(module, Users);
  }

  const cache = () => module.get<CacheService>(getCacheToken('users'), { strict: false });
  const inCache = (key: string[]) => cache().getEntry(key);

  describe('@Cacheable', () => {
    it('runs the method once, for its class as for its callers, in the named cache', async () => {
      await startUsers();

      const many = await Promise.all(Array.from({ length: 50 }, () => users.find('u1')));
      const twice = await users.twice('u1');

      expect([...many, ...twice]).toEqual(Array.from({ length: 52 }, () => ({ id: 'u1', name: 'Ada' })));
      expect(store.reads).toBe(1);
      await eventually('it is written', () => inCache(['user', 'u1']));
      expect(inject(module, CacheService).peek(['user', 'u1'])).toBeUndefined();
    });

    it('takes the time to live of the class, and tags from the arguments', async () => {
      await startUsers();

      await users.find('u1');

      const entry = await eventually('it is written', () => inCache(['user', 'u1']));
      const ttlMs = entry.expiresAt.getTime() - entry.createdAt.getTime();
      expect(entry.tags).toEqual(['user:u1']);
      expect(ttlMs).toBeGreaterThan(3_600_000 * 0.94);
      expect(ttlMs).toBeLessThanOrEqual(3_600_000);
    });

    it('does not keep undefined, nor what "unless" refuses', async () => {
      await startUsers();

      expect([await users.find('u9'), await users.find('u9')]).toEqual([undefined, undefined]);
      expect([await users.list('Z'), await users.list('Z')]).toEqual([[], []]);
      expect([await users.maybe('u9'), await users.maybe('u9')]).toEqual([null, null]);
      expect(store.reads).toBe(6);
    });

    it('only runs the method when "condition" does not hold', async () => {
      await startUsers();

      await users.maybe('u1');
      await eventually('it is written', () => inCache(['Users.maybe', 'u1']));
      await users.maybe('u1');
      await users.maybe('u1', true);

      expect(store.reads).toBe(2);
    });

    it('passes the error of the method on and keeps nothing', async () => {
      await startUsers();
      store.fails = true;

      await expect(users.find('u1')).rejects.toThrow('store');
      store.fails = false;

      expect(await users.find('u1')).toMatchObject({ name: 'Ada' });
    });

    it('rejects a call whose arguments give no key', async () => {
      await startUsers();

      expect(await failure(users.find(undefined as never))).toMatchObject({ code: 'ERR_CONFIGURATION' });
      expect(await failure(users.maybe({ id: 'u1' } as never))).toMatchObject({
        message: expect.stringContaining('Users.maybe was called with arguments that are not text'),
      });
      expect(store.reads).toBe(0);
    });

    it('keeps two applications in one process apart', async () => {
      await startUsers();
      const first = { module, users };
      await startUsers();

      await first.users.find('u1');
      await users.find('u1');

      expect(store.reads).toBe(1);
      expect(Object.getOwnPropertyDescriptors(Users.prototype)).toEqual(untouched);
      await first.module.close();
      expect(await users.find('u1')).toMatchObject({ name: 'Ada' });
    });
  });

  it('work the same where CacheMethodsModule is imported as well, in several places', async () => {
    @Module({ imports: [CacheMethodsModule] })
    class Feature {}
    module = await suite.start([Users], [CacheMethodsModule, Feature]);
    users = inject(module, Users);
    store = inject(module, UserStore);

    await users.find('u1');
    await users.save({ id: 'u1', name: 'Grace' });

    expect(await users.find('u1')).toMatchObject({ name: 'Grace' });
    expect(store.reads).toBe(1);
  });

  describe('@CachePut', () => {
    it('writes what the method returns, so that the next read needs no store', async () => {
      await startUsers();
      await users.find('u1');

      await users.save({ id: 'u1', name: ' Grace ' });

      expect(await users.find('u1')).toEqual({ id: 'u1', name: 'Grace' });
      expect(store.reads).toBe(1);
      expect((await inCache(['user', 'u1']))?.tags).toEqual(['user:u1']);
    });

    it('removes the entry when the method fails, returns undefined, or "unless" holds', async () => {
      await startUsers();
      for (const call of [
        () => ((store.fails = true), failure(users.save({ id: 'u1', name: 'x' }))),
        () => users.rename('u1', 'nobody'),
        () => users.rename('u1', ''),
      ]) {
        store.fails = false;
        await cache().set(['user', 'u1'], { id: 'u1', name: 'before' });

        await call();

        expect(await inCache(['user', 'u1'])).toBeUndefined();
      }
    });

    it('hands the result out when it cannot be kept: the method has run', async () => {
      await startUsers();

      expect(await users.odd('1')).toHaveProperty('run');
      expect(await inCache(['odd', '1'])).toBeUndefined();
    });
  });

  describe('@CacheEvict', () => {
    it('removes an entry by key after the method, by tag, and all of a cache', async () => {
      await startUsers();
      await users.find('u1');
      await users.list('A');
      await eventually(
        'both are written',
        async () => (await inCache(['user', 'u1'])) && inCache(['list', 'A']),
      );

      await users.remove('u1');
      expect(await users.find('u1')).toBeUndefined();

      await users.save({ id: 'u2', name: 'Alan' });
      expect(await users.list('A')).toEqual([{ id: 'u2', name: 'Alan' }]);

      await users.reset();
      expect(await inCache(['user', 'u2'])).toBeUndefined();
    });

    it('leaves the entry when the method fails, unless it removes before', async () => {
      await startUsers();
      await cache().set(['user', 'u1'], { id: 'u1', name: 'kept' });
      store.fails = true;

      await failure(users.remove('u1'));
      expect((await inCache(['user', 'u1']))?.value).toMatchObject({ name: 'kept' });

      await failure(users.touch('u1'));
      expect(await inCache(['user', 'u1'])).toBeUndefined();
    });
  });

  describe('classes that extend others', () => {
    class Repository {
      reads = 0;

      @Cacheable()
      async find(id: string): Promise<string> {
        this.reads += 1;
        return `${this.constructor.name} ${id}`;
      }

      @CacheEvict({ allEntries: true })
      async drop(): Promise<void> {}
    }
    @Injectable()
    class Dogs extends Repository {}
    @Injectable()
    class Cats extends Repository {
      @Cacheable({ ttl: 'short' })
      override async find(id: string): Promise<string> {
        return `own ${await super.find(id)}`;
      }
    }

    it('inherit the decorators, with default keys of their own', async () => {
      await start(Dogs, Cats);
      const [dogs, cats] = [inject(module, Dogs), inject(module, Cats)];

      expect([await dogs.find('1'), await dogs.find('1')]).toEqual(['Dogs 1', 'Dogs 1']);
      expect([await cats.find('1'), await cats.find('1')]).toEqual(['own Cats 1', 'own Cats 1']);

      expect([dogs.reads, cats.reads]).toEqual([1, 1]);
    });

    it('must not lose them in an override without saying so', async () => {
      @Injectable()
      class Silent extends Repository {
        override async drop(): Promise<void> {}
      }
      @Injectable()
      class Outspoken extends Repository {
        @NoCache()
        override async find(id: string): Promise<string> {
          return super.find(id);
        }
      }

      await expect(start(Silent)).rejects.toThrow(
        'Silent.drop overrides a method with caching decorators and has none; repeat them, or say @NoCache()',
      );
      await start(Outspoken);
      const outspoken = inject(module, Outspoken);
      await outspoken.find('1');
      await outspoken.find('1');
      expect(outspoken.reads).toBe(2);
    });
  });

  it('work on two instances of one class whose key tells them apart', async () => {
    class Client {
      constructor(readonly base: string) {}

      @Cacheable({
        key: function (this: Client, id: string) {
          return [this.base, id];
        },
      })
      async fetch(id: string): Promise<string> {
        return `${this.base}/${id}`;
      }
    }
    await start(...['eu', 'us'].map((base) => ({ provide: base, useValue: new Client(base) })));
    const [eu, us] = ['eu', 'us'].map((base) => module.get<Client>(base));

    expect([await eu!.fetch('1'), await us!.fetch('1')]).toEqual(['eu/1', 'us/1']);
    expect([await eu!.fetch('1'), await us!.fetch('1')]).toEqual(['eu/1', 'us/1']);
  });

  describe.each([
    ['Express', () => new ExpressAdapter()],
    ['Fastify', () => new FastifyAdapter()],
  ])('on controllers under %s', (_name, adapter) => {
    let app: INestApplication | undefined;
    afterEach(() => app?.close());

    it('work, and keep what other decorators and pipes do', async () => {
      let calls = 0;
      @Controller('things')
      class Things {
        @Get(':id')
        @Cacheable({ key: (id: string) => ['thing', id] })
        async find(@Param('id') id: string): Promise<{ id: string; call: number }> {
          calls += 1;
          return { id, call: calls };
        }
      }
      const testing = await Test.createTestingModule({
        imports: [
          RedisModule.forRoot({ app: uniquePrefix(), env: {}, ...suite.place.redis, logger: new TestLog() }),
          CacheModule.forRoot(),
        ],
        controllers: [Things],
      }).compile();
      app = testing.createNestApplication(adapter());
      await app.listen(0, '127.0.0.1');
      const url = await app.getUrl();
      const get = async (id: string): Promise<unknown> => (await fetch(`${url}/things/${id}`)).json();

      expect(await get('a')).toEqual({ id: 'a', call: 1 });
      expect(await get('a')).toEqual({ id: 'a', call: 1 });
      expect(await get('b')).toEqual({ id: 'b', call: 2 });
    });
  });
}

describe('a decorator that cannot work ends the start', () => {
  const suite = decorated(startEmbeddedPlace);

  @Injectable({ scope: Scope.REQUEST })
  class PerRequest {
    @Cacheable()
    async find(): Promise<number> {
      return 1;
    }
  }
  @Injectable({ scope: Scope.TRANSIENT })
  class Transient extends PerRequest {}
  @Injectable()
  class Unknown {
    @Cacheable({ cache: 'nowhere' })
    async find(): Promise<number> {
      return 1;
    }
  }
  @Injectable()
  class BadTtl {
    @Cacheable({ ttl: -1 })
    async find(): Promise<number> {
      return 1;
    }
  }
  @Controller()
  class Handler {
    @MessagePattern('x')
    @Cacheable()
    async find(): Promise<number> {
      return 1;
    }
  }
  const sameName = () => {
    @Injectable()
    class Twin {
      @Cacheable()
      async find(): Promise<number> {
        return 1;
      }
    }
    return Twin;
  };

  it.each([
    [
      'request scope',
      [PerRequest],
      'PerRequest.find cannot be cached by a decorator: PerRequest is request scoped',
    ],
    ['transient scope', [Transient], 'Transient is transient'],
    [
      'an unknown cache',
      [Unknown],
      'Unknown.find has no cache "nowhere": import CacheModule.forFeature(\'nowhere\')',
    ],
    ['an unusable option', [BadTtl], 'BadTtl.find: '],
    ['a message handler', [Handler], 'Handler.find is a message handler'],
    ['two classes of one name', [sameName(), sameName()], 'Twin.find exists in two classes of the same name'],
  ])('%s', async (_what, providers, message) => {
    await expect(suite.start(providers)).rejects.toThrow(message);
  });

  it('two instances of one class without a key', async () => {
    class Client {
      constructor(private readonly base: string) {}

      @Cacheable()
      async fetch(id: string): Promise<string> {
        return `${this.base}/${id}`;
      }
    }
    const [eu, us] = ['eu', 'us'].map((base) => ({ provide: base, useValue: new Client(base) }));

    await expect(suite.start([eu!, us!])).rejects.toThrow(
      'Client.fetch exists in two instances of its class, whose entries would meet; give its @Cacheable a key',
    );
    await suite.start([eu!, { provide: 'alias', useExisting: 'eu' }]);
  });

  it('and what is wrong in itself already at its definition', () => {
    expect(() => CachePut({} as never)).toThrow('@CachePut needs a key');
    expect(() => CacheEvict({} as never)).toThrow('@CacheEvict says nothing to remove');
    expect(() => {
      class Both {
        @Cacheable()
        @CachePut({ key: 'k' })
        async find(): Promise<number> {
          return 1;
        }
      }
      return Both;
    }).toThrow('Both.find is @Cacheable and @CachePut');
    expect(() => {
      class Static {
        @Cacheable()
        static async find(): Promise<number> {
          return 1;
        }
      }
      return Static;
    }).toThrow('The static method Static.find cannot be cached');
  });
});
