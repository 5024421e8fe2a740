import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it, jest } from '@jest/globals';
import type { TestingModule } from '@nestjs/testing';
import {
  ConnectionRegistry,
  REDIS,
  RedisBootError,
  type RedisClient,
  type RedisModuleOptions,
} from 'rednest';
import { CacheModule, CacheService } from 'rednest/cache';
import { QueueModule } from 'rednest/queue';
import { createModule, inject } from '../support/app.js';
import { createCertificate } from '../support/certificate.js';
import { eventually } from '../support/eventually.js';
import { JobCollector, JOBS, JobSender } from '../support/jobs.js';
import { describeNative } from '../support/needs.js';
import { freeBusPorts } from '../support/ports.js';
import { freePort, startNative, type NativeServer } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';
import { startTlsServer, userArguments, type TlsServer } from '../support/tls-server.js';
import { ask, TopologyNode } from '../support/topologies-node.js';

const CANARY = 'canary-5ecret';
/** Permanent faults show at once; the margin is for a machine that does other things as well. */
const AT_ONCE_MS = 2000;

interface Started {
  error: unknown;
  ms: number;
  log: TestLog;
}

/** Starts an application and ends it again; tells how that went. */
async function start(
  env: Record<string, string>,
  redis: RedisModuleOptions = {},
  withQueue = false,
): Promise<Started> {
  const log = new TestLog();
  const startedMs = performance.now();
  const imports = withQueue ? [QueueModule.forRoot(), QueueModule.forFeature([JOBS])] : [];
  let module: TestingModule | undefined;
  let error: unknown;
  try {
    module = await createModule({ redis: { env, logger: log, bootTimeout: '5s', ...redis }, imports });
  } catch (caught) {
    error = caught;
  }
  const ms = performance.now() - startedMs;
  await module?.close();
  return { error, ms, log };
}

const timings: string[] = [];

function record(row: string, what: string, reason: string, ms: number): void {
  timings.push(`| ${row} | ${what} | ${reason} | ${ms.toFixed(0)} |`);
}

/** What the libraries write past the logger. */
const printed: unknown[][] = [];

beforeAll(() => {
  for (const method of ['warn', 'error'] as const) {
    jest.spyOn(console, method).mockImplementation((...args: unknown[]) => void printed.push(args));
  }
});

afterEach(() => {
  expect(printed.splice(0)).toEqual([]);
});

afterAll(() => {
  jest.restoreAllMocks();
  process.stderr.write(
    `${['| row | fault | reason | ms to the answer |', '|---|---|---|---|', ...timings].join('\n')}\n`,
  );
});

describeNative('boot', () => {
  let plain: NativeServer;
  let locked: NativeServer;
  let full: NativeServer;
  let replica: NativeServer;
  let evicting: NativeServer;
  let tls: TlsServer;
  let mtls: TlsServer;
  let expired: Expired;
  let node: TopologyNode;
  let sentinel: TopologyNode;
  const held: Socket[] = [];
  const host = (port: number) => `127.0.0.1:${port}`;
  const starting: Promise<{ stop(): Promise<void> }>[] = [];
  const run = <Server extends { stop(): Promise<void> }>(server: Promise<Server>): Promise<Server> => {
    starting.push(server);
    return server;
  };

  beforeAll(async () => {
    expired = await writeExpired();
    plain = await run(startNative(['--save', '3600 1']));
    const [nodePort, sentinelPort] = await freeBusPorts(2);
    const monitor = `sentinel monitor mymaster 127.0.0.1 ${plain.port} 1`;
    node = new TopologyNode(nodePort!, 'cluster node', ['cluster-enabled yes', 'save ""']);
    sentinel = new TopologyNode(sentinelPort!, 'sentinel', [monitor, 'requirepass other'], ['--sentinel']);
    const users = userArguments([
      `app on >${CANARY} ~* &* +@all -info -config -time`,
      `mute on >${CANARY} ~* +@all -ping`,
    ]);
    [locked, full, replica, evicting, tls, mtls] = await Promise.all([
      run(startNative(['--requirepass', 'right', ...users])),
      run(startNative(['--maxclients', '2'])),
      run(startNative(['--replicaof', '127.0.0.1', `${plain.port}`])),
      run(startNative(['--maxmemory', '50mb', '--maxmemory-policy', 'allkeys-lru', ...expired.args])),
      run(startTlsServer()),
      run(startTlsServer({ mtls: true })),
      run(node.start().then(() => node)),
      run(sentinel.start().then(() => sentinel)),
    ]);
    held.push(connect(full.port, '127.0.0.1'), connect(full.port, '127.0.0.1'));
    for (const socket of held) socket.on('error', () => undefined);
  });

  afterAll(async () => {
    for (const socket of held) socket.destroy();
    // One that did not start has ended, and its error was the start's.
    const servers = await Promise.allSettled(starting);
    const running = servers.flatMap((server) => (server.status === 'fulfilled' ? [server.value] : []));
    await Promise.all(running.map((server) => server.stop()));
    rmSync(expired.dir, { recursive: true, force: true });
  });

  const single = (port: number, extra: Record<string, string> = {}) => ({
    REDIS_HOST: '127.0.0.1',
    REDIS_PORT: `${port}`,
    ...extra,
  });
  const sentinels = (port: number, name = 'mymaster', extra: Record<string, string> = {}) => ({
    REDIS_SENTINEL_HOSTS: host(port),
    REDIS_SENTINEL_NAME: name,
    ...extra,
  });
  const withCa = (server: TlsServer, extra: Record<string, string> = {}) => ({
    REDIS_URL: server.url,
    REDIS_TLS_CA_FILE: server.files.ca,
    ...extra,
  });

  type Row = [
    row: string,
    what: string,
    env: () => Record<string, string>,
    reason: string | RegExp,
    message: RegExp,
    options?: () => RedisModuleOptions,
  ];

  const PERMANENT: readonly Row[] = [
    [
      'F04',
      'no password given',
      () => single(locked.port),
      'NOAUTH',
      /requires a password; set REDIS_PASSWORD$/,
    ],
    [
      'F03',
      'wrong password',
      () => single(locked.port, { REDIS_PASSWORD: CANARY }),
      'WRONGPASS',
      /check REDIS_USERNAME and REDIS_PASSWORD$/,
    ],
    [
      'F03',
      'unknown user',
      () => single(locked.port, { REDIS_USERNAME: 'nobody', REDIS_PASSWORD: CANARY }),
      'WRONGPASS',
      /check REDIS_USERNAME and REDIS_PASSWORD$/,
    ],
    [
      'F07',
      'user without PING',
      () => single(locked.port, { REDIS_USERNAME: 'mute', REDIS_PASSWORD: CANARY }),
      'NOPERM',
      /REDIS_USERNAME.*\+@connection/,
    ],
    [
      'F08',
      'database out of range',
      () => single(plain.port, { REDIS_DB: '99' }),
      'DB_OUT_OF_RANGE',
      /check REDIS_DB or the path of REDIS_URL$/,
    ],
    [
      'F09',
      'TLS to a plain port',
      () => ({ REDIS_URL: `rediss://${host(plain.port)}` }),
      'PLAIN_PORT',
      /use redis:\/\/ instead of rediss:\/\/ in REDIS_URL/,
    ],
    [
      'F10',
      'plain text to a TLS port',
      () => ({ REDIS_URL: `redis://${host(tls.port)}` }),
      'TLS_REQUIRED',
      /use rediss:\/\/ in REDIS_URL or REDIS_TLS=true$/,
    ],
    [
      'F11',
      'unknown authority',
      () => ({ REDIS_URL: tls.url }),
      /SELF_SIGNED|UNABLE_TO/,
      /not trusted.*check REDIS_TLS_CA_FILE/,
    ],
    [
      'F11',
      'certificate of another host',
      () => ({}),
      'ERR_TLS_CERT_ALTNAME_INVALID',
      /another host name; check REDIS_TLS_CA_FILE and the host name in REDIS_URL/,
      () => ({ url: tls.url, tls: { caFile: tls.files.ca, servername: 'other.example' } }),
    ],
    [
      'F11',
      'certificate expired',
      () => ({ REDIS_URL: `rediss://${host(expired.port)}`, REDIS_TLS_CA_FILE: expired.ca }),
      'CERT_HAS_EXPIRED',
      /has expired; renew it; check REDIS_TLS_CA_FILE/,
    ],
    [
      'F11',
      'no client certificate',
      () => withCa(mtls),
      /CERTIFICATE_REQUIRED|HANDSHAKE/,
      /set REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE$/,
    ],
    [
      'F12',
      'unknown host name',
      () => ({ REDIS_URL: 'redis://no-such-host.invalid' }),
      'ENOTFOUND',
      /does not resolve; check REDIS_URL or REDIS_HOST$/,
    ],
    [
      'F36',
      'max number of clients',
      () => single(full.port),
      'MAXCLIENTS',
      /max number of clients; raise its maxclients.*REDIS_URL or REDIS_HOST$/,
    ],
    [
      'input 33',
      'single server, is a Cluster node',
      () => single(node.port),
      'CLUSTER_NODE',
      /use REDIS_CLUSTER_NODES instead of REDIS_URL or REDIS_HOST$/,
    ],
    [
      'input 33',
      'database of a Cluster node',
      () => single(node.port, { REDIS_DB: '1' }),
      'CLUSTER_NODE',
      /use REDIS_CLUSTER_NODES and no REDIS_DB$/,
    ],
    [
      'input 34',
      'Cluster, is a single server',
      () => ({ REDIS_CLUSTER_NODES: host(plain.port) }),
      'NOT_A_CLUSTER',
      /use REDIS_URL instead of REDIS_CLUSTER_NODES/,
    ],
    [
      'input 35',
      'Sentinel given as server',
      () => single(sentinel.port, { REDIS_PASSWORD: 'other' }),
      'SENTINEL_AS_SERVER',
      /put it into REDIS_SENTINEL_HOSTS \(with REDIS_SENTINEL_NAME\)/,
    ],
    [
      'input 35',
      'server given as Sentinel',
      () => sentinels(plain.port),
      'NOT_A_SENTINEL',
      /REDIS_SENTINEL_HOSTS/,
    ],
    [
      'Sentinel',
      'unknown primary',
      () => sentinels(sentinel.port, 'nobody', { REDIS_SENTINEL_PASSWORD: 'other' }),
      'SENTINEL_NAME',
      /check REDIS_SENTINEL_NAME$/,
    ],
    [
      'Sentinel',
      'Sentinel wants a password',
      () => sentinels(sentinel.port),
      'NOAUTH',
      /set REDIS_SENTINEL_PASSWORD$/,
    ],
    [
      'Sentinel',
      'wrong password of the Sentinel',
      () => sentinels(sentinel.port, 'mymaster', { REDIS_SENTINEL_PASSWORD: CANARY }),
      'WRONGPASS',
      /check REDIS_SENTINEL_USERNAME and REDIS_SENTINEL_PASSWORD$/,
    ],
    [
      'role',
      'replica given as server',
      () => single(replica.port),
      'REPLICA',
      /name the primary in REDIS_URL or REDIS_HOST/,
    ],
    [
      'socket',
      'folder of the socket missing',
      () => ({ REDIS_URL: 'unix:///no/such/folder/redis.sock' }),
      'ENOENT',
      /check the path in REDIS_URL$/,
    ],
  ];

  it.each(PERMANENT)('%s ends the start at once: %s', async (row, what, env, reason, message, ...options) => {
    const { error, ms, log } = await start(env(), { environment: 'production', ...options[0]?.() });

    const { message: text } = error as RedisBootError;
    record(row, what, (error as RedisBootError).reason, ms);
    expect(error).toBeInstanceOf(RedisBootError);
    expect(error).toMatchObject({ code: 'ERR_REDIS_BOOT', permanent: true });
    expect((error as RedisBootError).reason).toMatch(
      typeof reason === 'string' ? new RegExp(`^${reason}$`) : reason,
    );
    expect(text).toMatch(
      /^Redis connection "default" \((redis|rediss|unix|sentinel|cluster)\b[^\n]*\) [^\n]+$/,
    );
    expect(text).toMatch(message);
    expect(ms).toBeLessThan(AT_ONCE_MS);
    expect(`${(error as Error).stack}${log.text}`).not.toContain(CANARY);
  });

  const TRANSIENT: readonly Row[] = [
    [
      'F02',
      'nothing listens',
      () => single(closedPort),
      'ECONNREFUSED',
      /within 600 ms: .*check REDIS_URL or REDIS_HOST/,
    ],
    [
      'F28',
      'no Sentinel reachable',
      () => sentinels(closedPort),
      'SENTINEL_UNREACHABLE',
      /no Sentinel answered; .*REDIS_SENTINEL_HOSTS/,
    ],
    [
      'F32',
      'Cluster without slots',
      () => ({ REDIS_CLUSTER_NODES: host(node.port) }),
      'CLUSTERDOWN',
      /REDIS_CLUSTER_NODES \(0 of 16384 slots are served\)/,
    ],
    [
      'socket',
      'socket missing',
      () => ({ REDIS_URL: `unix://${join(tmpdir(), 'no-such.sock')}` }),
      'ENOENT',
      /start the server or check the path in REDIS_URL/,
    ],
  ];
  let closedPort = 0;
  beforeAll(async () => {
    closedPort = await freePort();
  });

  it.each(TRANSIENT)('%s waits until the deadline: %s', async (row, what, env, reason, message) => {
    const { error, ms } = await start(env(), { bootTimeout: '600ms' });

    record(row, what, (error as RedisBootError).reason, ms);
    expect(error).toMatchObject({ code: 'ERR_REDIS_BOOT', permanent: false, reason });
    expect((error as Error).message).toMatch(message);
    expect(ms).toBeGreaterThan(550);
    expect(ms).toBeLessThan(600 + AT_ONCE_MS);
  });

  it('F34 waits while the server loads, and says so when that takes too long', async () => {
    const loading = await startNative(['--appendonly', 'yes', '--enable-debug-command', 'yes']);
    await ask(loading.port, 'DEBUG', 'POPULATE', 2000);
    await ask(loading.port, 'BGREWRITEAOF');
    await eventually('the file is written', async () =>
      String(await ask(loading.port, 'INFO', 'persistence')).includes('aof_rewrite_in_progress:0'),
    );
    await ask(
      loading.port,
      'CONFIG',
      'SET',
      'key-load-delay',
      400,
      'loading-process-events-interval-bytes',
      1024,
    );
    const reload = ask(loading.port, 'DEBUG', 'LOADAOF').catch(() => undefined);

    await eventually('it loads', async () => (await ask(loading.port, 'PING').catch(String)) !== 'PONG');
    const { error, ms } = await start(single(loading.port), { bootTimeout: '300ms' });

    record('F34', 'server loads its data', (error as RedisBootError).reason, ms);
    expect(error).toMatchObject({ reason: 'LOADING', permanent: false });
    expect((error as Error).message).toContain('REDIS_BOOT_TIMEOUT_MS');
    const { error: late } = await start(single(loading.port));
    expect(late).toBeUndefined();
    await reload;
    await loading.stop();
  });

  it('F01 is ready soon after a server that comes late', async () => {
    const port = await freePort();
    const starting = createModule({ redis: { env: single(port), bootTimeout: '10s' } });
    const late = await startOn(port);
    const readyMs = performance.now();

    const module = await starting;

    const ms = performance.now() - readyMs;
    record('F01', 'server comes late', 'ready after', ms);
    expect(ms).toBeLessThan(2500);
    await module.close();
    await late.stop();
  });

  it('names the options of a named connection instead of variables', async () => {
    const { error } = await start(single(plain.port), {
      connections: { cache: { host: '127.0.0.1', port: locked.port } },
    });

    expect((error as Error).message).toMatch(/"cache" .*set connections\.cache\.password$/);
  });

  it('F08 never writes to database 0 in place of the one configured, also without a boot check', async () => {
    const module = await createModule({
      redis: { env: single(plain.port, { REDIS_DB: '99' }), boot: 'lazy' },
    });

    const answer = await inject<RedisClient>(module, REDIS).set('boot:wrong-db', '1').catch(String);

    expect(answer).not.toBe('OK');
    expect(await ask(plain.port, 'EXISTS', 'boot:wrong-db')).toBe(0);
    await module.close();
  });

  it('F06 works for a user without INFO, CONFIG and TIME, says once what was not checked, and prints nothing', async () => {
    const env = single(locked.port, { REDIS_USERNAME: 'app', REDIS_PASSWORD: CANARY });

    const { error, log } = await start(env, { environment: 'production' }, true);

    expect(error).toBeUndefined();
    const skipped = log.lines.filter(({ message }) => String(message).includes('skipped'));
    expect(skipped).toHaveLength(2);
    expect(skipped.map(({ level }) => level)).toEqual(['log', 'log']);
    expect(String(skipped[0]!.message)).toContain('TIME (NOPERM)');
    expect(String(skipped[1]!.message)).toMatch(/INFO \(NOPERM\).*CONFIG \(NOPERM\)/);
  });

  it('F05 warns once when the server asks for no password', async () => {
    const { error, log } = await start(single(plain.port, { REDIS_PASSWORD: CANARY }));

    const warnings = log.lines.filter(({ level }) => level === 'warn').map(({ message }) => String(message));
    expect(error).toBeUndefined();
    expect(warnings).toEqual([
      expect.stringMatching(/REDIS_PASSWORD is set, but the server takes clients without/),
    ]);
    expect(log.text).not.toContain(CANARY);
  });

  it('input 40 refuses queues on a server that evicts in production, and warns once elsewhere', async () => {
    const production = await start(single(evicting.port), { environment: 'production' }, true);
    const development = await start(single(evicting.port), {}, true);
    const unused = await start(single(evicting.port), { environment: 'production' });

    record('input 40', 'queues on a server that evicts', 'EVICTION', production.ms);
    expect(production.error).toMatchObject({ code: 'ERR_REDIS_BOOT', reason: 'EVICTION', permanent: true });
    expect((production.error as Error).message).toMatch(
      /allkeys-lru.*queues.*set maxmemory-policy noeviction/,
    );
    expect(production.ms).toBeLessThan(AT_ONCE_MS);
    expect([development.error, unused.error]).toEqual([undefined, undefined]);
    const evictions = development.log.lines.filter(({ message }) => String(message).includes('allkeys-lru'));
    expect(evictions.map(({ level }) => level)).toEqual(['warn']);
    expect(unused.log.text).not.toContain('allkeys-lru');
  });

  it('F14 warns in production when the queues would not survive a restart of the server', async () => {
    const memory = await startNative();
    const without = await start(single(memory.port), { environment: 'production' }, true);
    const withSnapshots = await start(single(plain.port), { environment: 'production' }, true);

    expect([without.error, withSnapshots.error]).toEqual([undefined, undefined]);
    expect(without.log.text).toMatch(/neither append-only file nor snapshots.*set appendonly yes/);
    expect(withSnapshots.log.text).not.toContain('append-only');
    await memory.stop();
  });

  const capabilities = {
    imports: [CacheModule.forRoot(), QueueModule.forRoot(), QueueModule.forFeature([JOBS])],
    providers: [JobCollector, JobSender],
  };

  it.each(['degraded', 'lazy'] as const)(
    'F01 %s: starts without Redis, fails fast, and everything works once the server is there',
    async (mode) => {
      const port = await freePort();
      const log = new TestLog();
      const startedMs = performance.now();
      const module = await createModule({
        redis: { env: single(port), boot: mode, bootTimeout: '300ms', logger: log },
        ...capabilities,
      });
      const bootMs = performance.now() - startedMs;
      const { queue } = inject(module, JobSender);

      const failedMs = performance.now();
      const refused = await queue.add('job', 'lost').catch((error: unknown) => error);
      const computed = await inject(module, CacheService).getOrSet(['boot'], () =>
        Promise.resolve('computed'),
      );
      const withoutMs = performance.now() - failedMs;
      const server = await startOn(port);
      await eventually('adds work', () =>
        queue.add('job', 'kept').then(
          () => true,
          () => false,
        ),
      );
      await eventually('the worker runs', () => inject(module, JobCollector).done.includes('kept'), 8000);

      record('F01', `${mode}: start without Redis`, 'started', bootMs);
      expect(bootMs).toBeLessThan(mode === 'lazy' ? 300 + AT_ONCE_MS / 2 : 300 + AT_ONCE_MS);
      expect(refused).toMatchObject({ code: 'ERR_QUEUE_UNAVAILABLE' });
      expect(computed).toBe('computed');
      expect(withoutMs).toBeLessThan(AT_ONCE_MS + 500);
      const warnings = log.lines.filter(({ message }) => String(message).includes('starting without it'));
      expect(warnings.map(({ level }) => level)).toEqual(mode === 'degraded' ? ['warn'] : []);
      await module.close();
      await server.stop();
    },
  );

  it('lazy opens nothing before the first use, then connects by itself', async () => {
    const module = await createModule({
      redis: { env: single(plain.port), boot: 'lazy' },
      imports: [
        CacheModule.forRoot(),
        QueueModule.forRoot({ role: 'producer' }),
        QueueModule.forFeature([JOBS]),
      ],
    });
    const registry = inject(module, ConnectionRegistry);
    const before = registry.snapshot().map(({ state }) => state);

    const value = await registry.executor().run('probe.ping', (redis) => redis.ping());

    expect(new Set(before)).toEqual(new Set(['idle']));
    expect(value).toBe('PONG');
    expect(
      registry
        .snapshot()
        .filter(({ state }) => state === 'ready')
        .map(({ role }) => role),
    ).toEqual(['command']);
    await module.close();
  });

  it('degraded still ends the start for a fault that waiting cannot mend', async () => {
    const { error, ms } = await start(single(locked.port, { REDIS_PASSWORD: CANARY }), { boot: 'degraded' });

    expect(error).toMatchObject({ reason: 'WRONGPASS', permanent: true });
    expect(ms).toBeLessThan(AT_ONCE_MS);
  });

  it('lazy logs a permanent fault once, in the words of the start', async () => {
    const log = new TestLog();
    const module = await createModule({
      redis: { env: single(locked.port, { REDIS_PASSWORD: CANARY }), boot: 'lazy', logger: log },
    });

    await inject<RedisClient>(module, REDIS)
      .ping()
      .catch(() => undefined);
    await eventually('it is logged', () => log.text.includes('check REDIS_USERNAME and REDIS_PASSWORD'));

    expect(log.lines.filter(({ message }) => String(message).includes('WRONGPASS, '))).toHaveLength(1);
    expect(log.text).not.toContain(CANARY);
    await module.close();
  });

  it('ends the wait of the other connections when one of them cannot start', async () => {
    const { error, ms } = await start(single(closedPort), {
      bootTimeout: '10s',
      connections: { cache: { host: '127.0.0.1', port: locked.port } },
    });

    expect(error).toMatchObject({ code: 'ERR_REDIS_BOOT' });
    expect(ms).toBeLessThan(AT_ONCE_MS);
  });
});

/** A server on a port chosen before. */
async function startOn(port: number): Promise<TopologyNode> {
  const server = new TopologyNode(port, 'late server', ['save ""']);
  await server.start();
  return server;
}

interface Expired {
  readonly port: number;
  readonly ca: string;
  readonly dir: string;
  readonly args: readonly string[];
}

/** Arguments for a server that speaks TLS on a further port, with a certificate that has expired. */
async function writeExpired(): Promise<Expired> {
  const dir = mkdtempSync(join(tmpdir(), 'rednest-expired-'));
  const { cert, key } = createCertificate({ expired: true });
  const [ca, keyFile] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
  writeFileSync(ca, cert);
  writeFileSync(keyFile, key, { mode: 0o600 });
  const port = await freePort();
  const files = ['--tls-cert-file', ca, '--tls-key-file', keyFile, '--tls-ca-cert-file', ca];
  return { port, ca, dir, args: ['--tls-port', `${port}`, '--tls-auth-clients', 'no', ...files] };
}
