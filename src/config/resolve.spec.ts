import { describe, expect, it } from '@jest/globals';
import { withDefaultServer } from './configuration.js';
import type { RednestOptions } from './options.js';
import { resolveConfiguration } from './resolve.js';
import type { ResolvedConnection } from './resolved.js';

const ENGINE = { start: () => Promise.reject(new Error('must not be started')) };

function resolveDefault(options: RednestOptions, env: Record<string, string> = {}): ResolvedConnection {
  return resolveConfiguration(options, env).connections.get('default')!;
}

describe('resolveConfiguration: environment', () => {
  it('completes one host with every default', () => {
    const configuration = resolveConfiguration({}, { REDIS_HOST: 'db' });

    expect(configuration).toMatchObject({
      app: 'app',
      keyPrefix: 'app',
      environment: 'development',
      bootMode: 'wait',
      bootTimeoutMs: 10_000,
      shutdownTimeoutMs: 25_000,
      warnings: [],
    });
    expect(configuration.connections.get('default')).toMatchObject({
      mode: 'single',
      host: 'db',
      port: 6379,
      db: 0,
      connectTimeoutMs: 2_000,
      commandTimeoutMs: 1_500,
      socketTimeoutMs: 2_000,
    });
  });

  it('completes a URL with user, password and database', () => {
    const env = {
      REDIS_URL: 'redis://db:6380',
      REDIS_USERNAME: 'app',
      REDIS_PASSWORD: 'pa ss',
      REDIS_DB: '3',
    };

    const connection = resolveDefault({}, env);

    expect(connection).toMatchObject({ host: 'db', port: 6380, username: 'app', db: 3 });
    expect(connection.password).toBe('pa ss');
  });

  it('completes the user of a URL with a password', () => {
    const connection = resolveDefault({}, { REDIS_URL: 'redis://app@db', REDIS_PASSWORD: 'pw' });

    expect([connection.username, connection.password]).toEqual(['app', 'pw']);
  });

  it('accepts the same value twice', () => {
    const env = { REDIS_URL: 'rediss://app:pw@db/2', REDIS_PASSWORD: 'pw', REDIS_DB: '2', REDIS_TLS: 'true' };

    expect(resolveDefault({}, env)).toMatchObject({ db: 2, tls: {} });
  });

  it('counts an empty variable as unset', () => {
    const env = {
      REDIS_URL: '',
      REDIS_HOST: 'db',
      REDIS_PORT: '',
      REDIS_PASSWORD: '',
      NODE_ENV: '',
      REDIS_TLS: '',
    };

    expect(resolveDefault({}, env)).toMatchObject({ host: 'db', port: 6379 });
    expect(resolveDefault({}, env).password).toBeUndefined();
  });

  it('reads Sentinels, with their own login and TLS', () => {
    const env = {
      REDIS_SENTINEL_HOSTS: 'a, b:26380,[::1]:26381',
      REDIS_SENTINEL_NAME: 'mymaster',
      REDIS_SENTINEL_USERNAME: 'watch',
      REDIS_SENTINEL_PASSWORD: 'sp',
      REDIS_PASSWORD: 'pw',
      REDIS_TLS: 'true',
      REDIS_DB: '1',
    };

    const connection = resolveDefault({}, env);

    expect(connection).toMatchObject({
      mode: 'sentinel',
      name: 'mymaster',
      hosts: [
        { host: 'a', port: 26379 },
        { host: 'b', port: 26380 },
        { host: '::1', port: 26381 },
      ],
      sentinelUsername: 'watch',
      sentinelTls: {},
      tls: {},
      db: 1,
    });
    expect(connection.mode === 'sentinel' && connection.sentinelPassword).toBe('sp');
  });

  it('reads cluster nodes', () => {
    expect(resolveDefault({}, { REDIS_CLUSTER_NODES: 'a:7000,b', REDIS_DB: '0' })).toMatchObject({
      mode: 'cluster',
      nodes: [
        { host: 'a', port: 7000 },
        { host: 'b', port: 6379 },
      ],
      db: 0,
    });
  });

  it('keeps the socket timeout above a command timeout that was raised alone', () => {
    const env = { REDIS_HOST: 'db', REDIS_COMMAND_TIMEOUT_MS: '5000' };

    expect(resolveDefault({}, env)).toMatchObject({ commandTimeoutMs: 5_000, socketTimeoutMs: 5_500 });
  });

  it('takes app name and key prefix, the prefix from the app name by default', () => {
    expect(resolveConfiguration({}, { REDIS_HOST: 'db', REDIS_APP_NAME: 'shop' })).toMatchObject({
      app: 'shop',
      keyPrefix: 'shop',
    });
    expect(
      resolveConfiguration({}, { REDIS_HOST: 'db', REDIS_APP_NAME: 'shop', REDIS_KEY_PREFIX: 'shop:eu' }),
    ).toMatchObject({ app: 'shop', keyPrefix: 'shop:eu' });
  });
});

describe('resolveConfiguration: warnings', () => {
  it.each([
    [{ REDIS_PASWORD: 'x' }, 'REDIS_PASWORD is set but not read; did you mean REDIS_PASSWORD?'],
    [{ REDIS_HSOT: 'x' }, 'REDIS_HSOT is set but not read; did you mean REDIS_HOST?'],
    [{ REDIS_USER: 'x' }, 'REDIS_USER is set but not read; did you mean REDIS_USERNAME?'],
    [{ redis_db: '1' }, 'redis_db is set but not read; did you mean REDIS_DB?'],
    [{ NODE_ENV: 'staging', REDIS_APP_NAME: 'a' }, /^NODE_ENV is none of .* counts as production$/],
    [{ NODE_ENV: 'production' }, /^REDIS_APP_NAME is not set/],
    [
      { REDIS_PORT: 'tcp://10.0.0.7:6379' },
      /^REDIS_PORT is an address that the orchestrator set .* ignored$/,
    ],
  ])('warns about %j', (env, expected) => {
    const { warnings } = resolveConfiguration({}, { REDIS_URL: 'redis://db', ...env });

    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(expected);
  });

  it.each(['REDIS_TTL', 'REDIS_SERVICE_HOST', 'REDIS_PORT_6379_TCP_ADDR', 'REDIS_MAX_MEMORY', 'REDISCOVER'])(
    'leaves %s alone',
    (name) => {
      expect(resolveConfiguration({}, { REDIS_URL: 'redis://db', [name]: 'x' }).warnings).toEqual([]);
    },
  );
});

describe('resolveConfiguration: options', () => {
  it('uses no server, login or TLS variable when options name the server', () => {
    const env = {
      REDIS_URL: ' broken',
      REDIS_PASSWORD: 'pw',
      REDIS_DB: '4',
      REDIS_TLS: 'true',
      REDIS_CLUSTER_NODES: 'x',
    };

    const connection = resolveDefault({ host: 'own' }, env);

    expect(connection).toMatchObject({ mode: 'single', host: 'own', db: 0 });
    expect([connection.password, connection.tls]).toEqual([undefined, undefined]);
  });

  it('completes the server of the environment when options name none', () => {
    const connection = resolveDefault({ password: 'pw', db: 2 }, { REDIS_HOST: 'db', REDIS_DB: '2' });

    expect(connection).toMatchObject({ host: 'db', db: 2 });
    expect(connection.password).toBe('pw');
  });

  it('wins over the environment for names and deadlines', () => {
    const configuration = resolveConfiguration(
      {
        app: 'mine',
        bootTimeout: '3s',
        shutdownTimeout: 4_000,
        timeouts: { connect: '1s' },
        environment: 'test',
      },
      {
        REDIS_HOST: 'db',
        REDIS_APP_NAME: 'other',
        REDIS_BOOT_TIMEOUT_MS: '1',
        REDIS_CONNECT_TIMEOUT_MS: '1',
        NODE_ENV: 'production',
      },
    );

    expect(configuration).toMatchObject({
      app: 'mine',
      environment: 'test',
      bootTimeoutMs: 3_000,
      shutdownTimeoutMs: 4_000,
    });
    expect(configuration.connections.get('default')?.connectTimeoutMs).toBe(1_000);
  });

  it('resolves named connections of every mode after the default one', () => {
    const { connections } = resolveConfiguration(
      {
        url: 'redis://db',
        connections: {
          cache: { path: '/run/cache.sock', timeouts: { command: '100ms' } },
          queue: { sentinels: { hosts: ['a', { host: 'b', port: 1 }], name: 'm', tls: false }, tls: true },
          big: { cluster: { nodes: ['a:1'] }, username: 'u', password: 'p' },
        },
      },
      { REDIS_COMMAND_TIMEOUT_MS: '700' },
    );

    expect([...connections.keys()]).toEqual(['default', 'cache', 'queue', 'big']);
    expect([...connections.values()].map((item) => [item.mode, item.commandTimeoutMs])).toEqual([
      ['single', 700],
      ['unix', 100],
      ['sentinel', 700],
      ['cluster', 700],
    ]);
    expect(connections.get('queue')).toMatchObject({ tls: {} });
    expect(connections.get('queue')).not.toHaveProperty('sentinelTls');
  });
});

describe('resolveConfiguration: embedded engine', () => {
  it('hands the engine over only when no server is configured', () => {
    expect(resolveConfiguration({ embedded: ENGINE }, {}).embedded).toBe(ENGINE);
    expect(resolveConfiguration({ embedded: ENGINE }, {}).connections.size).toBe(0);
    expect(resolveConfiguration({ embedded: ENGINE }, { REDIS_HOST: 'db' }).embedded).toBeUndefined();
  });

  it.each([{ NODE_ENV: 'production' }, { NODE_ENV: 'staging' }])('is refused with %j', (env) => {
    expect(() => resolveConfiguration({ embedded: ENGINE }, env)).toThrow(/refused in production/);
  });

  it('is refused with NODE_ENV=production whatever the options say', () => {
    const options = { embedded: ENGINE, environment: 'development' } as const;

    expect(() => resolveConfiguration(options, { NODE_ENV: 'production' })).toThrow(/refused in production/);
  });

  it('is completed with the URL the engine answers', () => {
    const configuration = resolveConfiguration(
      { embedded: ENGINE, connections: { cache: { host: 'c' } }, timeouts: { connect: '1s' } },
      {},
    );

    const complete = withDefaultServer(configuration, 'redis://127.0.0.1:40001');

    expect([...complete.connections.keys()]).toEqual(['default', 'cache']);
    expect(complete.connections.get('default')).toMatchObject({
      port: 40_001,
      db: 0,
      connectTimeoutMs: 1_000,
    });
    expect(complete.embedded).toBeUndefined();
    expect(() => withDefaultServer(complete, 'redis://127.0.0.1:1')).toThrow(/has a server already/);
  });
});

describe('the configuration', () => {
  it('is frozen throughout', () => {
    const configuration = resolveConfiguration(
      {},
      { REDIS_SENTINEL_HOSTS: 'a', REDIS_SENTINEL_NAME: 'm', REDIS_TLS: 'true' },
    );
    const connection = configuration.connections.get('default')!;

    const parts = [configuration, configuration.warnings, configuration.timeouts, connection, connection.tls];
    expect(parts.every((part) => Object.isFrozen(part))).toBe(true);
    expect(connection.mode === 'sentinel' && connection.hosts.every((host) => Object.isFrozen(host))).toBe(
      true,
    );
    expect(() => (configuration.connections as Map<string, unknown>).clear()).toThrow(TypeError);
  });
});
