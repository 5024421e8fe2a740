import { fileURLToPath } from 'node:url';
import type { RednestOptions } from '../../src/config/index.js';

/** A secret that every case with a password uses; it must never show up anywhere. */
export const CANARY = 'cAnArY-5ecret';

/** One configuration that must be refused. */
export interface BadConfiguration {
  /** What is wrong, for the test's name. */
  readonly name: string;
  /** `env`: can be handed to a process as its environment. `options`: needs options in code as well. */
  readonly via: 'env' | 'options';
  /** Variables to set; everything else that starts with `REDIS_` must be unset. */
  readonly env: Readonly<Record<string, string>>;
  /** Options in code. Values may break their types on purpose. */
  readonly options?: RednestOptions;
  /** What the message must say. */
  readonly expected: RegExp;
}

const NOT_PEM = fileURLToPath(import.meta.url);

function byEnv(name: string, env: Record<string, string>, expected: RegExp): BadConfiguration {
  return { name, via: 'env', env, expected };
}

function byUrl(name: string, url: string, expected: RegExp): BadConfiguration {
  return byEnv(`URL ${name}`, { REDIS_URL: url }, expected);
}

function byOptions(
  name: string,
  options: object,
  expected: RegExp,
  env: Record<string, string> = {},
): BadConfiguration {
  return { name: `options: ${name}`, via: 'options', env, options, expected };
}

const MISSING = /No Redis server is configured: set REDIS_URL .*nothing falls back to localhost/;

const SERVERS: readonly BadConfiguration[] = [
  byEnv('nothing is set', {}, MISSING),
  byUrl('empty', '', MISSING),
  byUrl('blank', '   ', /REDIS_URL is blank/),
  byUrl(
    'with a newline at its end',
    'redis://db:6379\n',
    /REDIS_URL starts or ends with white space or a line break/,
  ),
  byUrl('with a space before it', ' redis://db', /REDIS_URL starts or ends with white space/),
  byUrl('with a space inside', `redis://app:${CANARY} x@db`, /REDIS_URL contains white space.*%20/),
  byUrl('without host', 'redis://', /REDIS_URL names no host.*nothing falls back to localhost/),
  byUrl('with a port but no host', 'redis://:6379', /REDIS_URL names no host/),
  byUrl('with login but no host', `redis://app:${CANARY}@`, /REDIS_URL names no host/),
  byUrl('whose host is a port', 'redis://6379', /number in place of the host/),
  byUrl('with port abc', 'redis://db:abc', /port that is not a whole number from 1 to 65535/),
  byUrl('with port 99999', 'redis://db:99999', /port that is not a whole number from 1 to 65535/),
  byUrl('with port -1', 'redis://db:-1', /port that is not a whole number/),
  byUrl('with port 0', 'redis://db:0', /port that is not a whole number/),
  byUrl('with an empty port', 'redis://db:/0', /leave the colon out/),
  byUrl('without scheme', '6379x', /does not start with a scheme Rednest knows/),
  byUrl('of host and port alone', 'db:6379', /does not start with a scheme Rednest knows/),
  byUrl('http', 'http://db', /scheme http:, which is not supported; write redis:/),
  byUrl('valkey', 'valkey://db', /scheme valkey:.*write redis:/),
  byUrl('redis+tls', 'redis+tls://db', /scheme redis\+tls:.*write rediss:/),
  byUrl('redis-sentinel', 'redis-sentinel://a:1,b:2/m', /scheme redis-sentinel:.*REDIS_SENTINEL_HOSTS/),
  byUrl('without colon', 'redis//db', /misses the colon of its scheme/),
  byUrl('with one slash', 'rediss:/db', /needs two slashes after the scheme/),
  byUrl('in quotes', '"redis://db"', /wrapped in quotes/),
  byUrl('in single quotes', "'redis://db'", /wrapped in quotes/),
  byUrl('unexpanded', '${REDIS_URL}', /unexpanded placeholder/),
  byUrl('with an unexpanded password', 'redis://:${PASSWORD}@db', /unexpanded placeholder/),
  byUrl(
    'with a host list',
    'redis://a,b:6379',
    /lists several hosts.*REDIS_SENTINEL_HOSTS.*REDIS_CLUSTER_NODES/,
  ),
  byUrl('with a broken IPv6 address', 'redis://[::1', /broken IPv6 address/),
  byUrl('with IPv6 without brackets', 'redis://::1', /IPv6 address in brackets/),
  byUrl('with a broken IPv4 address', 'redis://10.0.0.256', /looks like an IPv4 address/),
  byUrl('with an impossible host', 'redis://my$host', /characters that host names cannot have/),
  byUrl('with # in the password', `redis://app:${CANARY}#1@db`, /unescaped #.*%23/),
  byUrl('with / in the password', `redis://app:${CANARY}/1@db`, /unescaped \/.*%2F/),
  byUrl('with ? in the password', `redis://app:${CANARY}?1@db`, /unescaped \?.*%3F/),
  byUrl('with %ZZ in the password', `redis://app:${CANARY}%ZZ@db`, /literal % as %25/),
  byUrl('with an empty password', 'redis://app:@db', /empty user or password/),
  byUrl('with user and no password', 'redis://app@db', /user name in REDIS_URL is set without a password/),
  byUrl('with a password in place of the port', `redis://default:${CANARY}`, /a password goes before an @/),
  byUrl('with db abc', 'redis://db/abc', /database that is not a whole number from 0 to 16383/),
  byUrl('with db -1', 'redis://db/-1', /database that is not a whole number.*\(it is -1\)/),
  byUrl('with db 99999', 'redis://db/99999', /database that is not a whole number/),
  byUrl('with db 1.5', 'redis://db/1.5', /database that is not a whole number/),
  byUrl('with more path', 'redis://db/0/extra', /more than a database number/),
  byUrl('with query options', 'redis://db?maxRetriesPerRequest=abc', /has query options/),
  byUrl('with a family', 'redis://db/0?family=9', /has query options/),
  byUrl('with db as query', 'redis://db?db=1', /write it as path/),
  byUrl('of a relative unix socket', 'unix://tmp/x.sock', /three slashes/),
  byUrl('of a unix socket with options', 'unix:///tmp/x.sock?db=1&x=2', /takes \?db=n alone/),
];

const VARIABLES: readonly BadConfiguration[] = [
  byEnv(
    'a password that differs from the URL',
    { REDIS_URL: `redis://app:${CANARY}@db`, REDIS_PASSWORD: `other-${CANARY}` },
    /REDIS_PASSWORD and the password in REDIS_URL differ/,
  ),
  byEnv(
    'a db that differs from the URL',
    { REDIS_URL: 'redis://db/0', REDIS_DB: '1' },
    /REDIS_DB and the database in REDIS_URL differ/,
  ),
  byEnv(
    'a user without password',
    { REDIS_HOST: 'db', REDIS_USERNAME: 'app' },
    /REDIS_USERNAME is set without a password; set REDIS_PASSWORD/,
  ),
  byEnv('a blank password', { REDIS_HOST: 'db', REDIS_PASSWORD: ' ' }, /REDIS_PASSWORD is blank/),
  byEnv(
    'a password with a newline',
    { REDIS_HOST: 'db', REDIS_PASSWORD: `${CANARY}\n` },
    /REDIS_PASSWORD starts or ends with white space.*REDIS_URL, percent-encoded/,
  ),
  byEnv(
    'a quoted password',
    { REDIS_HOST: 'db', REDIS_PASSWORD: `"${CANARY}"` },
    /REDIS_PASSWORD is wrapped in quotes/,
  ),
  byEnv(
    'a password without server',
    { REDIS_PASSWORD: CANARY },
    /Of no use without a server: REDIS_PASSWORD/,
  ),
  byEnv(
    'URL and host',
    { REDIS_URL: 'redis://db', REDIS_HOST: 'db' },
    /REDIS_URL and REDIS_HOST each name a server/,
  ),
  byEnv(
    'URL and Sentinel',
    { REDIS_URL: 'redis://db', REDIS_SENTINEL_HOSTS: 'a', REDIS_SENTINEL_NAME: 'm' },
    /REDIS_URL and REDIS_SENTINEL_HOSTS each name a server/,
  ),
  byEnv(
    'host and cluster',
    { REDIS_HOST: 'db', REDIS_CLUSTER_NODES: 'a:7000' },
    /REDIS_HOST and REDIS_CLUSTER_NODES each name a server/,
  ),
  byEnv(
    'a port beside a URL',
    { REDIS_URL: 'redis://db', REDIS_PORT: '6380' },
    /REDIS_PORT is only read together with REDIS_HOST; write the port into the URL/,
  ),
  byEnv(
    'port 70000',
    { REDIS_HOST: 'db', REDIS_PORT: '70000' },
    /REDIS_PORT must be a whole number from 1 to 65535, but is 70000/,
  ),
  byEnv(
    'port abc',
    { REDIS_HOST: 'db', REDIS_PORT: 'abc' },
    /REDIS_PORT must be a whole number from 1 to 65535, but is a text/,
  ),
  byEnv(
    'a linked service as port',
    { REDIS_HOST: 'redis', REDIS_PORT: 'tcp://10.0.0.7:6379' },
    /REDIS_PORT is an address that the orchestrator set/,
  ),
  byEnv('a URL as host', { REDIS_HOST: `redis://:${CANARY}@db` }, /REDIS_HOST holds a URL/),
  byEnv('host with port', { REDIS_HOST: 'db:6380' }, /REDIS_HOST holds a colon/),
  byEnv(
    'db 1.5',
    { REDIS_HOST: 'db', REDIS_DB: '1.5' },
    /REDIS_DB must be a whole number from 0 to 16383, but is 1.5/,
  ),
  byEnv(
    'rediss and REDIS_TLS=false',
    { REDIS_URL: 'rediss://db', REDIS_TLS: 'false' },
    /REDIS_TLS switches TLS off, but REDIS_URL starts with rediss/,
  ),
  byEnv(
    'redis and REDIS_TLS=true',
    { REDIS_URL: 'redis://db', REDIS_TLS: 'true' },
    /REDIS_TLS switches TLS on, but REDIS_URL starts with redis:/,
  ),
  byEnv('REDIS_TLS=yes', { REDIS_HOST: 'db', REDIS_TLS: 'yes' }, /REDIS_TLS must be true or false/),
  byEnv(
    'a CA file that is missing',
    { REDIS_URL: 'rediss://db', REDIS_TLS_CA_FILE: '/does/not/exist/ca.pem' },
    /REDIS_TLS_CA_FILE names a file that does not exist/,
  ),
  byEnv(
    'a CA file that is not PEM',
    { REDIS_URL: 'rediss://db', REDIS_TLS_CA_FILE: NOT_PEM },
    /REDIS_TLS_CA_FILE holds no PEM certificate/,
  ),
  byEnv(
    'a certificate without key',
    { REDIS_URL: 'rediss://db', REDIS_TLS_CERT_FILE: '/does/not/exist/cert.pem' },
    /REDIS_TLS_CERT_FILE is set without its private key/,
  ),
  byEnv(
    'a key without certificate',
    { REDIS_URL: 'rediss://db', REDIS_TLS_KEY_FILE: NOT_PEM },
    /REDIS_TLS_KEY_FILE is set without its certificate/,
  ),
  byEnv(
    'a CA file without TLS',
    { REDIS_HOST: 'db', REDIS_TLS_CA_FILE: NOT_PEM },
    /REDIS_TLS_CA_FILE is set, but TLS is off; set REDIS_TLS=true/,
  ),
  byEnv(
    'Sentinels without name',
    { REDIS_SENTINEL_HOSTS: 'a:26379' },
    /REDIS_SENTINEL_HOSTS is set without REDIS_SENTINEL_NAME/,
  ),
  byEnv(
    'a Sentinel name without Sentinels',
    { REDIS_SENTINEL_NAME: 'mymaster' },
    /REDIS_SENTINEL_NAME is set without REDIS_SENTINEL_HOSTS/,
  ),
  byEnv(
    'an empty Sentinel list',
    { REDIS_SENTINEL_HOSTS: '[]', REDIS_SENTINEL_NAME: 'm' },
    /REDIS_SENTINEL_HOSTS entry 1 /,
  ),
  byEnv(
    'a Sentinel user without password',
    { REDIS_SENTINEL_HOSTS: 'a', REDIS_SENTINEL_NAME: 'm', REDIS_SENTINEL_USERNAME: 'u' },
    /REDIS_SENTINEL_USERNAME is set without a password/,
  ),
  byEnv(
    'a cluster list with one bad entry',
    { REDIS_CLUSTER_NODES: 'a:7000,b:70000,c:7000' },
    /REDIS_CLUSTER_NODES entry 2 has a port/,
  ),
  byEnv(
    'a cluster list with a gap',
    { REDIS_CLUSTER_NODES: 'a:7000,,c:7000' },
    /REDIS_CLUSTER_NODES entry 2 is empty/,
  ),
  byEnv(
    'a cluster list of URLs',
    { REDIS_CLUSTER_NODES: `redis://:${CANARY}@a:7000` },
    /REDIS_CLUSTER_NODES entry 1 is a URL; write host:port/,
  ),
  byEnv(
    'a cluster with db 1',
    { REDIS_CLUSTER_NODES: 'a:7000', REDIS_DB: '1' },
    /REDIS_DB is 1, but a cluster has database 0 only/,
  ),
  byEnv(
    'key prefix with {',
    { REDIS_HOST: 'db', REDIS_KEY_PREFIX: 'a{b' },
    /REDIS_KEY_PREFIX is not usable as a key prefix/,
  ),
  byEnv(
    'key prefix with *',
    { REDIS_HOST: 'db', REDIS_KEY_PREFIX: 'a*' },
    /REDIS_KEY_PREFIX is not usable as a key prefix/,
  ),
  byEnv(
    'app name with a space',
    { REDIS_HOST: 'db', REDIS_APP_NAME: 'my app' },
    /REDIS_APP_NAME is not usable/,
  ),
  byEnv(
    'a negative timeout',
    { REDIS_HOST: 'db', REDIS_COMMAND_TIMEOUT_MS: '-5' },
    /REDIS_COMMAND_TIMEOUT_MS must be a whole number of milliseconds from 1 to 600000, but is -5/,
  ),
  byEnv(
    'a timeout of 0',
    { REDIS_HOST: 'db', REDIS_CONNECT_TIMEOUT_MS: '0' },
    /REDIS_CONNECT_TIMEOUT_MS must be .*, but is 0/,
  ),
  byEnv(
    'a timeout with a unit',
    { REDIS_HOST: 'db', REDIS_SOCKET_TIMEOUT_MS: '2s' },
    /REDIS_SOCKET_TIMEOUT_MS must be a whole number of milliseconds/,
  ),
  byEnv(
    'boot timeout NaN',
    { REDIS_HOST: 'db', REDIS_BOOT_TIMEOUT_MS: 'NaN' },
    /REDIS_BOOT_TIMEOUT_MS must be a whole number/,
  ),
  byEnv(
    'commands that outlast the socket',
    { REDIS_HOST: 'db', REDIS_COMMAND_TIMEOUT_MS: '3000', REDIS_SOCKET_TIMEOUT_MS: '2000' },
    /REDIS_SOCKET_TIMEOUT_MS is 2000 ms, which is not longer than REDIS_COMMAND_TIMEOUT_MS \(3000 ms\)/,
  ),
  byEnv(
    'a misspelt variable as the only one',
    { REDIS_URI: 'redis://db' },
    /No Redis server.*REDIS_URI is set but not read; did you mean REDIS_URL\?/,
  ),
];

const ENGINE = { start: () => Promise.reject(new Error('must not be started')) };
const NETWORKS: readonly BadConfiguration[] = [
  byEnv(
    'a NAT map without a target',
    { REDIS_CLUSTER_NODES: 'db:7000', REDIS_NAT_MAP: '10.0.0.7:6379=db:7001,10.0.0.8:6379' },
    /REDIS_NAT_MAP entry 2 is not a pair of addresses/,
  ),
  byEnv(
    'a NAT map for a single server',
    { REDIS_HOST: 'db', REDIS_NAT_MAP: '10.0.0.7:6379=db:7001' },
    /REDIS_NAT_MAP is set, but a single server/,
  ),
  byEnv('an unknown preset', { REDIS_HOST: 'db', REDIS_PRESET: 'gcp' }, /REDIS_PRESET must be aws or azure/),
  byEnv(
    'a server name without TLS',
    { REDIS_HOST: 'db', REDIS_TLS_SERVERNAME: 'db.example' },
    /REDIS_TLS_SERVERNAME is set, but TLS is off/,
  ),
  byEnv(
    'REDIS_AUTO_PIPELINING=1',
    { REDIS_HOST: 'db', REDIS_AUTO_PIPELINING: '1' },
    /REDIS_AUTO_PIPELINING must be true or false/,
  ),
];

const OPTIONS: readonly BadConfiguration[] = [
  byOptions('url undefined', { url: undefined }, MISSING),
  byOptions('url null', { url: null }, /Option "url" must be a text, but is null/),
  byOptions('url empty', { url: '' }, /Option "url" must be a text that is not empty/),
  byOptions('url without host', { url: 'redis://' }, /Option "url" names no host/),
  byOptions(
    'port NaN',
    { host: 'db', port: Number.NaN },
    /Option "port" must be a whole number from 1 to 65535, but is NaN/,
  ),
  byOptions('port 0', { host: 'db', port: 0 }, /Option "port" must be .* but is 0/),
  byOptions('port as text', { host: 'db', port: '6379' }, /Option "port" must be a whole number/),
  byOptions(
    'a password that is a number',
    { host: 'db', password: 12 },
    /Option "password" must be a text, but is a number$/,
  ),
  byOptions(
    'a user with a newline',
    { host: 'db', username: 'app\n', password: CANARY },
    /Option "username" must be a text without white space/,
  ),
  byOptions(
    'two servers',
    { url: 'redis://db', host: 'db' },
    /Option "url" and Option "host" each name a server/,
  ),
  byOptions(
    'a login that differs from the URL',
    { url: `redis://a:${CANARY}@db`, username: 'b' },
    /Option "username" and the user name in Option "url" differ/,
  ),
  byOptions(
    'a password that differs from the environment',
    { password: CANARY },
    /Option "password" and REDIS_PASSWORD differ/,
    { REDIS_HOST: 'db', REDIS_PASSWORD: `x${CANARY}` },
  ),
  byOptions(
    'an empty Sentinel list',
    { sentinels: { hosts: [], name: 'm' } },
    /Option "sentinels.hosts" must be a list with at least one host, but is an empty list/,
  ),
  byOptions(
    'Sentinels without name',
    { sentinels: { hosts: ['a'] } },
    /Option "sentinels.name" must be a text, but is undefined/,
  ),
  byOptions(
    'one bad cluster node',
    { cluster: { nodes: ['a:1', { host: 'b', port: 0 }] } },
    /Option "cluster.nodes.1.port" must be a whole number/,
  ),
  byOptions(
    'a cluster with db',
    { cluster: { nodes: ['a:1'] }, db: 2 },
    /Option "db" is 2, but a cluster has database 0 only/,
  ),
  byOptions('rediss without TLS', { url: 'rediss://db', tls: false }, /Option "tls" switches TLS off/),
  byOptions(
    'TLS on a unix socket',
    { path: '/tmp/x.sock', tls: true },
    /Option "tls" asks for TLS, which a unix socket does not have/,
  ),
  byOptions('a relative socket path', { path: 'x.sock' }, /Option "path" is not an absolute path/),
  byOptions(
    'a certificate twice',
    { url: 'rediss://db', tls: { ca: 'x', caFile: '/x' } },
    /Option "tls.ca" and Option "tls.caFile" are both set/,
  ),
  byOptions(
    'a misspelt TLS option',
    { url: 'rediss://db', tls: { caFiel: '/x' } },
    /Option "tls.caFiel" does not exist; did you mean "caFile"\?/,
  ),
  byOptions(
    'a misspelt option',
    { sentinal: {} },
    /Option "sentinal" does not exist; did you mean "sentinels"\?/,
  ),
  byOptions(
    'a negative timeout',
    { host: 'db', timeouts: { command: -1 } },
    /Option "timeouts.command" is -1 ms, outside/,
  ),
  byOptions(
    'a timeout NaN',
    { host: 'db', timeouts: { socket: Number.NaN } },
    /Option "timeouts.socket" must be a duration|"timeouts.socket" is not a duration/,
  ),
  byOptions(
    'a timeout in words',
    { host: 'db', timeouts: { connect: 'soon' } },
    /"timeouts.connect" is a text that is no duration/,
  ),
  byOptions(
    'commands that outlast the socket',
    { host: 'db', timeouts: { command: '3s', socket: '2s' } },
    /Option "timeouts.socket" is 2000 ms, which is not longer than Option "timeouts.command"/,
  ),
  byOptions(
    'a key prefix with {',
    { host: 'db', keyPrefix: '{x}' },
    /Option "keyPrefix" is not usable as a key prefix/,
  ),
  byOptions(
    'a connection without server',
    { host: 'db', connections: { cache: {} } },
    /Option "connections.cache" names no server/,
  ),
  byOptions(
    'a connection with a bad URL',
    { host: 'db', connections: { cache: { url: 'http://x' } } },
    /Option "connections.cache.url" has the scheme http:/,
  ),
  byOptions(
    'a connection called default',
    { host: 'db', connections: { default: { host: 'x' } } },
    /connection called "default"/,
  ),
  byOptions(
    'an unknown environment',
    { host: 'db', environment: 'staging' },
    /Option "environment" must be "development", "test" or "production"/,
  ),
  byOptions(
    'a role that does not exist',
    { host: 'db', roles: { workers: { socket: '5s' } } },
    /Option "roles.workers" does not exist; did you mean "worker"\?/,
  ),
  byOptions(
    'a command timeout for workers',
    { host: 'db', roles: { worker: { command: '1s' } } },
    /Option "roles.worker.command" must be left out: .* block on purpose.*, but is a text of 2/,
  ),
  byOptions(
    'a socket timeout for subscribers',
    { host: 'db', roles: { subscriber: { socket: '5s' } } },
    /Option "roles.subscriber.socket" must be left out: .*heartbeat/,
  ),
  byOptions(
    'auto-pipelining for BullMQ',
    { host: 'db', roles: { producer: { autoPipelining: true } } },
    /Option "roles.producer.autoPipelining" must be left out: .* never used for BullMQ, but is a boolean/,
  ),
  byOptions(
    'a role whose socket is less patient than its commands',
    { host: 'db', roles: { producer: { command: '3s' } } },
    /Option "roles.producer" has a socket timeout of 2000 ms, which is not longer than its command timeout \(3000 ms\)/,
  ),
  byOptions(
    'a role with a timeout that is no duration',
    { host: 'db', roles: { command: { connect: 'soon' } } },
    /Option "roles.command.connect" is a text that is no duration/,
  ),
  byOptions(
    'auto-pipelining as text',
    { host: 'db', autoPipelining: 'yes' },
    /Option "autoPipelining" must be true or false/,
  ),
  byOptions(
    'an unknown preset',
    { host: 'db', preset: 'gcp' },
    /Option "preset" must be "aws" or "azure" or "kubernetes"/,
  ),
  byOptions(
    'a NAT map for a single server',
    { host: 'db', natMap: { '10.0.0.7:6379': 'db:7001' } },
    /Option "natMap" is set, but a single server is reached at the address it is given/,
  ),
  byOptions(
    'a NAT map without ports',
    { cluster: { nodes: ['db:7000'] }, natMap: { '10.0.0.7': 'db:7001' } },
    /Option "natMap" entry 1 is not a pair of addresses; write announced-host:port=reachable-host:port/,
  ),
  byOptions('an empty NAT map', { cluster: { nodes: ['db:7000'] }, natMap: {} }, /Option "natMap" is empty/),
  byOptions(
    'the embedded engine in production',
    { embedded: ENGINE },
    /embedded engine is refused in production/,
    { NODE_ENV: 'production' },
  ),
  byOptions(
    'an engine that cannot start',
    { host: 'db', embedded: {} },
    /Option "embedded" must be an engine with a start\(\) method/,
  ),
];

/** Configurations that must end start-up with one readable error. */
export const BAD_CONFIGURATIONS: readonly BadConfiguration[] = Object.freeze([
  ...SERVERS,
  ...VARIABLES,
  ...NETWORKS,
  ...OPTIONS,
]);
