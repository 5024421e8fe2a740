import { Cacheable, CacheConfig, CacheEvict, CachePut, Caching, NoCache } from 'rednest/cache';

interface User {
  id: string;
  name: string;
}

interface Page {
  from: number;
}

/** What must compile. Never run. */
@CacheConfig({ cache: 'users', ttl: 'long', grace: '1h', staleWhileRevalidate: true })
export class Accepted {
  @Cacheable()
  async plain(_id: string): Promise<User | undefined> {
    return undefined;
  }

  @Cacheable({ key: 'user:{0}', tags: ['users', 'user:{0}'], ttl: 'short', lease: false })
  async template(_id: string): Promise<User> {
    return { id: '', name: '' };
  }

  @Cacheable({
    key: (id: string) => ['user', id],
    tags: (id: string) => [`user:${id}`],
    condition: (id: string, page: Page) => id !== '' && page.from === 0,
    unless: (user: User | undefined) => user === undefined,
  })
  async functions(_id: string, _page: Page): Promise<User | undefined> {
    return undefined;
  }

  @Cacheable({ key: (id: string | number) => ['user', id], unless: (user: unknown) => user === null })
  async wider(_id: string): Promise<User | null> {
    return null;
  }

  @CachePut({ key: (user: User) => ['user', user.id], unless: (saved: User, given: User) => saved === given })
  async save(user: User): Promise<User> {
    return user;
  }

  @CacheEvict({ key: (id: string) => ['user', id], beforeInvocation: true })
  async remove(_id: string): Promise<void> {}

  @Caching({
    put: [{ key: (user: User) => ['user', user.id] }, { key: 'name:{0.name}' }],
    evict: { tags: (user: User) => [user.name], allEntries: true },
  })
  async rename(user: User): Promise<User> {
    return user;
  }

  @NoCache()
  async never(): Promise<number> {
    return 0;
  }
}

/** What must not compile. Never run. */
export class Refused {
  // @ts-expect-error the key takes a number, the method gets text
  @Cacheable({ key: (id: number) => ['user', id] })
  async otherType(_id: string): Promise<void> {}

  // @ts-expect-error the key takes text only, the method gets a number as well
  @Cacheable({ key: (id: string) => ['user', id] })
  async narrower(_id: string | number): Promise<void> {}

  // @ts-expect-error the key needs two arguments, the method gets one
  @Cacheable({ key: (id: string, page: Page) => [id, page.from] })
  async tooFew(_id: string): Promise<void> {}

  // @ts-expect-error parameters of a key need their types
  @Cacheable({ key: (id) => ['user', id] })
  async untyped(_id: string): Promise<void> {}

  // @ts-expect-error a key is text or parts
  @Cacheable({ key: (id: string) => ({ id }) })
  async noKey(_id: string): Promise<void> {}

  // @ts-expect-error the result is a user
  @Cacheable({ unless: (count: number) => count === 0 })
  async otherResult(_id: string): Promise<User | undefined> {
    return undefined;
  }

  // @ts-expect-error only methods that return a promise
  @Cacheable()
  sync(): number {
    return 0;
  }

  // @ts-expect-error not a tier
  @Cacheable({ ttl: 'forever' })
  async noTier(): Promise<void> {}

  // @ts-expect-error a write needs a key
  @CachePut({ ttl: 'short' })
  async noPutKey(): Promise<User | undefined> {
    return undefined;
  }

  // @ts-expect-error an eviction has no time to live
  @CacheEvict({ allEntries: true, ttl: 'short' })
  async noTtl(): Promise<void> {}

  // @ts-expect-error the key inside takes a number
  @Caching({ evict: [{ key: (id: number) => ['user', id] }] })
  async inside(_id: string): Promise<void> {}
}
