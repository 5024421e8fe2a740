import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Inject, Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { Redis } from 'ioredis';
import {
  ConfigurationError,
  ConnectionRegistry,
  getRedisToken,
  InjectRedis,
  KeyspaceRegistry,
  REDIS,
  RedisBootError,
  RedisModule,
  type RedisClient,
} from 'rednest';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { uniquePrefix } from '../support/prefix.js';
import { freePort, startEmbedded, type TestServer } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

let server: TestServer;
beforeAll(async () => {
  server = await startEmbedded();
});
afterAll(() => server.stop());

@Injectable()
class First {
  constructor(@Inject(REDIS) readonly redis: RedisClient) {}
}

@Injectable()
class Second {
  constructor(@InjectRedis() readonly redis: RedisClient) {}
}

@Module({ providers: [First], exports: [First] })
class FeatureModule {}

describe('RedisModule', () => {
  it('R1 gives every injector the same client', async () => {
    const module = await createModule({
      redis: { url: server.url },
      imports: [FeatureModule],
      providers: [Second],
    });

    const clients = [
      inject(module, First).redis,
      inject(module, Second).redis,
      inject<RedisClient>(module, REDIS),
    ];

    expect(new Set(clients).size).toBe(1);
    await module.close();
  });

  it('R7 answers get, set and ping through the token', async () => {
    const module = await createModule({ redis: { url: server.url } });
    const redis = inject<RedisClient>(module, REDIS);
    const key = uniquePrefix();

    await redis.set(key, 'value', 'PX', 60_000);

    expect(await redis.get(key)).toBe('value');
    expect(await redis.ping()).toBe('PONG');
    await module.close();
  });

  it('R1 provides further servers by name', async () => {
    const other = await startEmbedded();
    const module = await createModule({
      redis: { url: server.url, connections: { cache: { url: other.url } } },
    });
    const key = uniquePrefix();

    await inject<RedisClient>(module, getRedisToken('cache')).set(key, 'there');

    expect(await inject<RedisClient>(module, REDIS).get(key)).toBeNull();
    expect(await inject<RedisClient>(module, getRedisToken('cache')).get(key)).toBe('there');
    await module.close();
    await other.stop();
  });

  it('takes options from a factory and provides the named clients it lists', async () => {
    const module = await Test.createTestingModule({
      imports: [
        RedisModule.forRootAsync({
          connectionNames: ['cache'],
          useFactory: () => ({
            url: server.url,
            env: {},
            app: uniquePrefix(),
            logger: new TestLog(),
            connections: { cache: { url: server.url, db: 1 } },
          }),
        }),
      ],
    }).compile();

    expect(await inject<RedisClient>(module, getRedisToken('cache')).ping()).toBe('PONG');
    await module.close();
  });

  it('never closes a client the application handed in', async () => {
    const own = new Redis(server.url);
    own.on('error', () => undefined);
    const module = await createModule({ redis: { client: own } });
    const registry = inject(module, ConnectionRegistry);
    await eventually('producer ready', () => registry.connection('default', 'producer').isReady);
    const producer = registry.client('default', 'producer');

    await module.close();

    expect(inject<RedisClient>(module, REDIS)).toBe(own);
    expect(await own.ping()).toBe('PONG');
    expect(producer.status).toBe('end');
    await own.quit();
  });

  it('R6 names every connection app:role:host:pid', async () => {
    const app = uniquePrefix();
    const module = await createModule({ redis: { url: server.url, app } });
    const registry = inject(module, ConnectionRegistry);
    registry.connection('default', 'worker');
    await eventually('worker ready', () => registry.connection('default', 'worker').isReady);

    const list = (await inject<RedisClient>(module, REDIS).client('LIST')) as string;

    expect(list).toMatch(new RegExp(`name=${app}:command:[^ ]+:${process.pid}`));
    expect(list).toMatch(new RegExp(`name=${app}:worker:[^ ]+:${process.pid}`));
    await module.close();
  });

  it('opens a role only when it is used, and lists what is open', async () => {
    const module = await createModule({ redis: { url: server.url } });
    const registry = inject(module, ConnectionRegistry);

    expect(registry.snapshot().map(({ role }) => role)).toEqual(['command']);
    registry.connection('default', 'producer');
    expect(registry.snapshot().map(({ role }) => role)).toEqual(['command', 'producer']);

    await module.close();
    expect(registry.snapshot().every(({ state }) => state === 'end')).toBe(true);
  });

  it('leaves no connection on the server after close', async () => {
    const app = uniquePrefix();
    const module = await createModule({ redis: { url: server.url, app } });
    const registry = inject(module, ConnectionRegistry);
    for (const role of ['producer', 'worker', 'subscriber'] as const) registry.connection('default', role);
    await eventually('all ready', () => registry.snapshot().every(({ state }) => state === 'ready'));

    await module.close();

    const observer = new Redis(server.url);
    await eventually(
      'connections gone',
      async () => !((await observer.client('LIST')) as string).includes(`name=${app}:`),
    );
    await observer.quit();
  });

  it('keeps two applications in one process apart', async () => {
    const [one, two] = await Promise.all([
      createModule({ redis: { url: server.url } }),
      createModule({ redis: { url: server.url } }),
    ]);

    await one.close();

    expect(inject<RedisClient>(one, REDIS)).not.toBe(inject<RedisClient>(two, REDIS));
    expect(inject(one, KeyspaceRegistry)).not.toBe(inject(two, KeyspaceRegistry));
    expect(await inject<RedisClient>(two, REDIS).ping()).toBe('PONG');
    await two.close();
  });

  it('names the connections that exist when one does not', async () => {
    const module = await createModule({ redis: { url: server.url } });

    expect(() => inject(module, ConnectionRegistry).executor('nope')).toThrow(ConfigurationError);
    expect(() => inject(module, ConnectionRegistry).executor('nope')).toThrow(/configured are "default"/);
    await module.close();
  });

  it('R27 refuses a bad URL with one readable error', async () => {
    const start = createModule({ redis: { env: { REDIS_URL: 'http://user:hunter2@host' } } });

    const error = await start.catch((caught: unknown) => caught);

    expect(error).toBeInstanceOf(ConfigurationError);
    expect((error as Error).message).toContain('REDIS_URL');
    expect((error as Error).message).not.toContain('hunter2');
  });

  it('R27 fails the start when the server is down, with cause, place and fix', async () => {
    const port = await freePort();

    const error = await createModule({
      redis: { url: `redis://127.0.0.1:${port}`, bootTimeout: '300ms' },
    }).catch((caught: unknown) => caught);

    expect(error).toBeInstanceOf(RedisBootError);
    expect(error).toMatchObject({ reason: 'ECONNREFUSED', permanent: false });
    expect((error as Error).message).toMatch(
      new RegExp(`redis://127.0.0.1:${port}/0.*within 300 ms.*REDIS_URL`),
    );
  });

  it('R4 waits for a server that comes up late', async () => {
    const port = await freePort();
    const starting = createModule({ redis: { url: `redis://127.0.0.1:${port}`, bootTimeout: '10s' } });
    const { EmbeddedRedis } = await import('rednest/embedded');

    const late = await EmbeddedRedis.start({ port });
    const module = await starting;

    expect(await inject<RedisClient>(module, REDIS).ping()).toBe('PONG');
    await module.close();
    await late.stop();
  });

  it('ends the boot at once when the password is wrong, without showing it', async () => {
    const admin = new Redis(server.url);
    await admin.acl('SETUSER', 'limited', 'on', '>right', '+@all', '~*', '&*');

    const error = await createModule({
      redis: { url: server.url.replace('redis://', 'redis://limited:wrong-canary@'), bootTimeout: '10s' },
    }).catch((caught: unknown) => caught);

    expect(error).toMatchObject({ code: 'ERR_REDIS_BOOT', reason: 'WRONGPASS', permanent: true });
    expect(`${(error as Error).stack}`).not.toContain('canary');
    await admin.quit();
  });
});
