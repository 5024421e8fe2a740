import { hostname } from 'node:os';
import { afterEach, describe, expect, it } from '@jest/globals';
import { Cluster, Command, Redis, type RedisOptions } from 'ioredis';
import { resolveConfiguration, type RednestOptions, type ResolvedConnection } from '../config/index.js';
import { clientName, createClient, duplicateForRole, type RedisClient } from './client-factory.js';
import { ROLE_SETTINGS, type ConnectionRole } from './roles.js';

const clients: RedisClient[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
});

function track<T extends RedisClient>(client: T): T {
  client.on('error', () => undefined);
  clients.push(client);
  return client;
}

function target(options: RednestOptions): ResolvedConnection {
  return resolveConfiguration({ environment: 'test', ...options }, {}).connections.get('default')!;
}

function create(options: RednestOptions, role: ConnectionRole = 'command'): RedisClient {
  return track(createClient(target(options), role, 'shop:probe'));
}

function optionsOf(client: RedisClient): RedisOptions {
  return client instanceof Cluster ? client.options.redisOptions! : client.options;
}

/** How long a client may be silent while this command is the one whose answer comes next. */
function silence(client: Redis, name: string, ...args: (string | number)[]): number | undefined {
  const parts = client as unknown as { commandQueue: unknown };
  const queue = parts.commandQueue;
  parts.commandQueue = { peekFront: () => ({ command: new Command(name, args) }) };
  const { socketTimeout } = client.options;
  parts.commandQueue = queue;
  return socketTimeout;
}

type Lookup = (name: string, callback: (error: unknown, address: string) => void) => void;

const LAZY = (Object.keys(ROLE_SETTINGS) as ConnectionRole[]).filter((role) => role !== 'worker');
const SERVER: RednestOptions = { url: 'redis://app:secret@db.invalid:6380/2' };
const CLUSTER: RednestOptions = {
  cluster: { nodes: ['a.invalid:7000', 'b.invalid:7001'] },
  password: 'secret',
};

describe('clientName', () => {
  it('is app:role:host:pid', () => {
    expect(clientName('shop', 'worker')).toBe(`shop:worker:${hostname()}:${process.pid}`);
  });

  it.each(['my shop', 'café', 'a\r\nb', '💥', 'a\u0000b'])(
    'has no character the server refuses for %p',
    (app) => {
      expect(clientName(app, 'command')).toMatch(/^[\x21-\x7e]+$/);
    },
  );
});

describe('createClient', () => {
  it.each(LAZY)('gives %s the settings of its role and does not connect', (role) => {
    const client = create(SERVER, role);
    const settings = ROLE_SETTINGS[role];

    expect(client.status).toBe('wait');
    expect(client).toBeInstanceOf(Redis);
    expect(client.options).toMatchObject({
      host: 'db.invalid',
      port: 6380,
      db: 2,
      username: 'app',
      password: 'secret',
      connectionName: 'shop:probe',
      connectTimeout: 2000,
      maxRetriesPerRequest: settings.maxRetriesPerRequest,
      socketTimeout: settings.socketTimeoutMs === 'default' ? 2000 : settings.socketTimeoutMs,
    });
    expect(optionsOf(client).commandTimeout).toBe(settings.commandTimeout ? 1500 : undefined);
    expect(optionsOf(client).protocol).toBe(settings.protocol ?? 3);
  });

  it('connects a worker at once: BullMQ gives up on a lazy one', () => {
    const client = create({ path: '/nonexistent/redis.sock' }, 'worker');

    expect(client.status).toBe('connecting');
    expect(client.options).toMatchObject({ lazyConnect: false, maxRetriesPerRequest: null });
    expect(optionsOf(client).commandTimeout).toBeUndefined();
  });

  it('takes the deadlines of the connection', () => {
    const client = create({ ...SERVER, timeouts: { connect: 11, command: 22, socket: 33 } });

    expect(client.options).toMatchObject({ connectTimeout: 11, commandTimeout: 22, socketTimeout: 33 });
  });

  it('connects through a unix socket', () => {
    const client = create({ path: '/run/redis.sock', db: 3, password: 'secret' });

    expect(client.options).toMatchObject({ path: '/run/redis.sock', db: 3, password: 'secret' });
  });

  it('asks the Sentinels with their own login', () => {
    const sentinels = {
      hosts: ['a.invalid:26379', 'b.invalid'],
      name: 'main',
      username: 's',
      password: 'pw',
    };
    const client = create({ sentinels, password: 'secret', db: 1 });

    expect(client.options).toMatchObject({
      sentinels: [
        { host: 'a.invalid', port: 26_379 },
        { host: 'b.invalid', port: 26_379 },
      ],
      name: 'main',
      sentinelUsername: 's',
      sentinelPassword: 'pw',
      password: 'secret',
      db: 1,
      failoverDetector: true,
    });
  });

  it('does not give the login of the server to the Sentinels', () => {
    const client = create({
      sentinels: { hosts: ['a.invalid'], name: 'main' },
      username: 'u',
      password: 'secret',
    });

    expect(optionsOf(client).sentinelPassword ?? null).toBeNull();
    expect(optionsOf(client).sentinelUsername ?? null).toBeNull();
  });

  it.each(LAZY)('gives the nodes of a Cluster the settings of %s', (role) => {
    const client = create(CLUSTER, role) as Cluster;

    expect(client).toBeInstanceOf(Cluster);
    expect(client.status).toBe('wait');
    expect(client.options.redisOptions).toMatchObject({
      password: 'secret',
      maxRetriesPerRequest: ROLE_SETTINGS[role].maxRetriesPerRequest,
      connectionName: 'shop:probe',
    });
    expect(client.options.redisOptions).not.toHaveProperty('db');
  });

  it('asks for TLS 1.2 and checks the certificate', () => {
    const client = create({ url: 'rediss://db.invalid', tls: { servername: 'db.example' } });

    expect(optionsOf(client).tls).toEqual({ minVersion: 'TLSv1.2', servername: 'db.example' });
    expect(optionsOf(create(SERVER)).tls).toBeUndefined();
  });

  it('waits a bounded, growing time between connection attempts', () => {
    const { retryStrategy } = optionsOf(create(SERVER));
    const delays = [1, 2, 5, 100, 100_000].map((attempt) => Number(retryStrategy!(attempt)));

    expect(delays.every((delay) => delay >= 25 && delay <= 1000)).toBe(true);
    expect(delays[0]!).toBeLessThanOrEqual(50);
  });

  it('reconnects at most once a second when the primary became a replica', () => {
    const reconnect = optionsOf(create(SERVER)).reconnectOnError!;
    const readonly = new Error("READONLY You can't write against a read only replica.");

    expect(reconnect(new Error('ERR READONLY'))).toBe(false);
    expect([reconnect(readonly), reconnect(readonly)]).toEqual([true, false]);
  });
});

describe('createClient, adjusted', () => {
  it('pipelines automatically for the shared client alone', () => {
    const switched = (Object.keys(ROLE_SETTINGS) as ConnectionRole[]).filter(
      (role) => (create({ ...SERVER, autoPipelining: true }, role) as Redis).options.enableAutoPipelining,
    );
    const cluster = create({ ...CLUSTER, autoPipelining: true });
    const foreign = track(new Redis({ host: 'db.invalid', enableAutoPipelining: true, lazyConnect: true }));

    expect(switched).toEqual(['command']);
    expect(cluster.options.enableAutoPipelining).toBe(true);
    expect((create(SERVER) as Redis).options.enableAutoPipelining).toBe(false);
    expect(track(duplicateForRole(foreign, 'producer', 'a')).options.enableAutoPipelining).toBe(false);
  });

  it('gives one role limits of its own', () => {
    const roles = { producer: { connect: 50, command: '1s', socket: '5s' } } as const;

    expect(create({ ...SERVER, roles }, 'producer').options).toMatchObject({
      connectTimeout: 50,
      commandTimeout: 1000,
      socketTimeout: 5000,
    });
    expect(create({ ...SERVER, roles }).options).toMatchObject({
      connectTimeout: 2000,
      commandTimeout: 1500,
    });
  });

  it.each(['worker', 'reader'] as const)('lets a %s be silent for as long as its command blocks', (role) => {
    const single = create(SERVER, role) as Redis;
    const copy = track(single.duplicate());
    const cluster = create(CLUSTER, role) as Cluster;
    const nodes = [cluster, track(cluster.duplicate())].map((owner) => {
      const node = track(new Redis({ ...owner.options.redisOptions, lazyConnect: true }));
      owner.emit('+node', node);
      return node;
    });
    for (const client of [single, copy, track(copy.duplicate()), ...nodes]) {
      expect(silence(client, 'get', 'k')).toBe(3_000);
      expect(silence(client, 'bzpopmin', 'k', 5)).toBe(8_000);
      expect(silence(client, 'blpop', 'k', '0.25')).toBe(3_250);
      expect(silence(client, 'xread', 'BLOCK', 10_000, 'STREAMS', 'k', '$')).toBe(13_000);
      expect(silence(client, 'xread', 'STREAMS', 'k', '$')).toBe(3_000);
      // Nobody knows when an answer is due: looked after every 13 s, by a new connection.
      expect(silence(client, 'blpop', 'k', 0)).toBe(13_000);
      expect(silence(client, 'blpop', 'k', 10_000_000)).toBe(2 ** 31 - 1);
      expect(silence(client, 'blpop', 'k', 'soon')).toBe(3_000);
    }
  });

  it('maps announced addresses, and keeps names where certificates carry them', () => {
    const natMap = { '10.0.0.7:6379': 'db.invalid:7001' };
    const mapped = { '10.0.0.7:6379': { host: 'db.invalid', port: 7001 } };
    const keepsNames = (options: RednestOptions): boolean => {
      let name: string | undefined;
      const { dnsLookup } = (create(options) as Cluster).options;
      (dnsLookup as Lookup | undefined)?.('a.invalid', (_error, address) => (name = address));
      return name === 'a.invalid';
    };

    expect((create({ ...CLUSTER, natMap }) as Cluster).options.natMap).toEqual(mapped);
    expect(optionsOf(create({ sentinels: { hosts: ['s'], name: 'm' }, natMap })).natMap).toEqual(mapped);
    expect(keepsNames(CLUSTER)).toBe(false);
    expect(keepsNames({ ...CLUSTER, tls: true })).toBe(true);
    expect(keepsNames({ ...CLUSTER, preset: 'kubernetes' })).toBe(true);
  });

  it('checks certificates of nodes that announce addresses against the configured name (azure)', () => {
    const azure = { ...CLUSTER, tls: true, preset: 'azure' } as const;

    expect(optionsOf(create(azure)).tls).toMatchObject({ servername: 'a.invalid' });
    expect(optionsOf(create(azure)).connectTimeout).toBe(5000);
    expect(optionsOf(create({ ...azure, preset: 'aws' })).tls).not.toHaveProperty('servername');
    expect(optionsOf(create({ ...azure, timeouts: { connect: '1s' } })).connectTimeout).toBe(1000);
  });
});

describe('duplicateForRole', () => {
  it('keeps server and login of the client, and sets the role', () => {
    const own = track(new Redis({ host: 'db.invalid', password: 'secret', db: 4, lazyConnect: true }));
    const copy = track(duplicateForRole(own, 'reader', 'shop:reader'));

    expect(copy.status).toBe('wait');
    expect(copy.options).toMatchObject({
      host: 'db.invalid',
      password: 'secret',
      db: 4,
      connectionName: 'shop:reader',
      maxRetriesPerRequest: null,
      socketTimeout: 3_000,
    });
    expect(own.options).not.toMatchObject({ connectionName: 'shop:reader' });
  });

  it('takes the command timeout of the client off where commands block', () => {
    const own = track(new Redis({ host: 'db.invalid', commandTimeout: 100, lazyConnect: true }));

    expect(optionsOf(track(duplicateForRole(own, 'reader', 'n'))).commandTimeout).toBeUndefined();
  });

  it('keeps nodes and login of a Cluster', () => {
    const own = track(
      new Cluster([{ host: 'a.invalid', port: 7000 }], {
        lazyConnect: true,
        redisOptions: { password: 'secret' },
      }),
    );
    const copy = track(duplicateForRole(own, 'subscriber', 'shop:subscriber'));

    expect(copy).toBeInstanceOf(Cluster);
    expect(copy.status).toBe('wait');
    expect(optionsOf(copy)).toMatchObject({ password: 'secret', connectionName: 'shop:subscriber' });
  });
});
