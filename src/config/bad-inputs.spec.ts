import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { createCertificate } from '../../test/support/certificate.js';
import { ConfigurationError } from '../common/index.js';
import { resolveConfiguration } from './resolve.js';

/** One way to get the configuration wrong: its number, what it is, the input, and what is said about it. */
type Row = readonly [number: number, what: string, input: Input, expected: RegExp];
type Input = { readonly env?: Record<string, string>; readonly options?: object };

const NOT_PEM = fileURLToPath(import.meta.url);
const NO_SERVER = /No Redis server is configured: set REDIS_URL .* nothing falls back to localhost/;
const url = (text: string, env: Record<string, string> = {}): Input => ({ env: { REDIS_URL: text, ...env } });
const env = (variables: Record<string, string>): Input => ({ env: variables });
const options = (values: object): Input => ({ options: values });

const ROWS: readonly Row[] = [
  [1, 'URL empty', url(''), NO_SERVER],
  [2, 'URL blank', url('  '), /^REDIS_URL is blank \(only white space\); give it a value or remove it$/],
  [2, 'line break after the URL', url('redis://db\n'), /^REDIS_URL starts or ends with white space/],
  [3, 'URL without host', url('redis://'), /^REDIS_URL names no host; .*nothing falls back to localhost/],
  [4, 'URL undefined', options({ url: undefined }), NO_SERVER],
  [4, 'URL null', options({ url: null }), /^Option "url" must be a text, but is null$/],
  [4, 'URL NaN', options({ url: NaN }), /^Option "url" must be a text, but is a number$/],
  [5, 'port abc', url('redis://db:abc'), /^REDIS_URL has a port that is not a whole number from 1 to 65535;/],
  [5, 'port 99999', url('redis://db:99999'), /port that is not a whole number from 1 to 65535/],
  [5, 'port -1', url('redis://db:-1'), /port that is not a whole number from 1 to 65535/],
  [6, 'port 0', url('redis://db:0'), /port that is not a whole number from 1 to 65535/],
  [7, 'no scheme', url('6379x'), /^REDIS_URL does not start with a scheme Rednest knows/],
  [8, 'http', url('http://db'), /^REDIS_URL has the scheme http:, which is not supported; write redis:/],
  [9, 'valkey', url('valkey://db'), /scheme valkey:.* write redis:/],
  [9, 'redis+tls', url('redis+tls://db'), /scheme redis\+tls:.* write rediss:/],
  [10, 'redis-sentinel', url('redis-sentinel://a:1,b:2/m'), /redis-sentinel:.*REDIS_SENTINEL_HOSTS/],
  [11, 'no colon', url('redis//db'), /^REDIS_URL misses the colon of its scheme/],
  [11, 'one slash', url('rediss:/db'), /^REDIS_URL needs two slashes after the scheme/],
  [12, 'in quotes', url('"redis://db"'), /^REDIS_URL is wrapped in quotes that are part of the value/],
  [13, 'unexpanded', url('${REDIS_URL}'), /^REDIS_URL contains an unexpanded placeholder/],
  [14, 'list of hosts', url('redis://a,b:6379'), /^REDIS_URL lists several hosts; for Sentinel use/],
  [
    15,
    'broken IPv6',
    url('redis://[::1'),
    /^REDIS_URL has a broken IPv6 address; write it as \[2001:db8::1\]/,
  ],
  [16, '# in the password', url('redis://u:pa#ss@db'), /unescaped #.*%23/],
  [17, '%ZZ in the password', url('redis://u:%ZZ@db'), /literal % as %25/],
  [
    19,
    'two passwords',
    url('redis://u:one@db', { REDIS_PASSWORD: 'two' }),
    /^REDIS_PASSWORD and the password in REDIS_URL differ; keep one of them$/,
  ],
  [20, 'database abc', url('redis://db/abc'), /database that is not a whole number from 0 to 16383/],
  [21, 'database -1', url('redis://db/-1'), /database that is not a whole number .*\(it is -1\)/],
  [21, 'database 99999', url('redis://db/99999'), /database that is not a whole number from 0 to 16383/],
  [22, 'database 1.5', url('redis://db/1.5'), /database that is not a whole number .*\(it is 1\.5\)/],
  [23, 'more path', url('redis://db/0/extra'), /^REDIS_URL has more than a database number/],
  [24, 'query option', url('redis://db?maxRetriesPerRequest=abc'), /^REDIS_URL has query options/],
  [25, 'family', url('redis://db?family=9'), /^REDIS_URL has query options/],
  [
    26,
    'rediss, TLS off',
    url('rediss://db', { REDIS_TLS: 'false' }),
    /^REDIS_TLS switches TLS off, but REDIS_URL/,
  ],
  [
    27,
    'CA file missing',
    url('rediss://db', { REDIS_TLS_CA_FILE: '/does/not/exist' }),
    /^REDIS_TLS_CA_FILE .*(does not exist|cannot be read)/,
  ],
  [27, 'CA no PEM', url('rediss://db', { REDIS_TLS_CA_FILE: NOT_PEM }), /^REDIS_TLS_CA_FILE .*PEM/],
  [
    28,
    'certificate without key',
    options({ url: 'rediss://db', tls: { cert: createCertificate().cert } }),
    /^Option "tls.cert" is set without its private key; set the key too, or remove the certificate$/,
  ],
  [
    29,
    'Sentinels without name',
    env({ REDIS_SENTINEL_HOSTS: 'a:1' }),
    /^REDIS_SENTINEL_HOSTS is set without REDIS_SENTINEL_NAME; set the name the Sentinels give the primary/,
  ],
  [
    30,
    'no Sentinels',
    options({ sentinels: { hosts: [], name: 'm' } }),
    /^Option "sentinels.hosts" must be a list with at least one host, but is an empty list$/,
  ],
  [
    31,
    'a bad Cluster node',
    env({ REDIS_CLUSTER_NODES: 'a:7000,b:x' }),
    /^REDIS_CLUSTER_NODES entry 2 has a port that is not a whole number/,
  ],
  [
    32,
    'database 1 in a Cluster',
    env({ REDIS_CLUSTER_NODES: 'a:7000', REDIS_DB: '1' }),
    /^REDIS_DB is 1, but a cluster has database 0 only; remove it/,
  ],
  [36, 'key prefix with {', url('redis://db', { REDIS_KEY_PREFIX: 'a{b' }), /^REDIS_KEY_PREFIX /],
  [36, 'key prefix with *', url('redis://db', { REDIS_KEY_PREFIX: 'a*' }), /^REDIS_KEY_PREFIX /],
  [
    37,
    'negative timeout',
    url('redis://db', { REDIS_COMMAND_TIMEOUT_MS: '-1' }),
    /^REDIS_COMMAND_TIMEOUT_MS must be a whole number of milliseconds from 1 to 600000, but is -1$/,
  ],
  [
    37,
    'timeout NaN',
    options({ host: 'db', timeouts: { command: NaN } }),
    /^Option "timeouts.command" (must be a duration|.*NaN)/,
  ],
  [
    37,
    'timeout as text',
    options({ host: 'db', timeouts: { command: 'soon' } }),
    /^Option "timeouts.command" is a text that is no duration; give "250ms", "30s" or "5m"$/,
  ],
  [
    38,
    'socket less patient than its commands',
    url('redis://db', { REDIS_COMMAND_TIMEOUT_MS: '3000', REDIS_SOCKET_TIMEOUT_MS: '2000' }),
    /^REDIS_SOCKET_TIMEOUT_MS is 2000 ms, which is not longer than REDIS_COMMAND_TIMEOUT_MS \(3000 ms\)/,
  ],
  [
    39,
    'retries on workers',
    options({ host: 'db', roles: { worker: { maxRetriesPerRequest: 3 } } }),
    /^Option "roles\.worker\.maxRetriesPerRequest" does not exist/,
  ],
];

/** Inputs that look fine until a server is asked. */
const NEED_A_SERVER = [33, 34, 35, 40];
/** Inputs that work, and must go on working. */
const GOOD = [18];

function faultsOf({ env: variables = {}, options: values = {} }: Input): readonly string[] {
  try {
    resolveConfiguration(values, variables);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.faults;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

describe('bad input', () => {
  it.each(ROWS)('%i: %s', (_number, _what, input, expected) => {
    const faults = faultsOf(input);

    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(expected);
  });

  it.each(NEED_A_SERVER)('%i is tried on a server, in the tests of the start', (number) => {
    const suite = readFileSync(new URL('../../test/fault/boot.spec.ts', import.meta.url), 'utf8');

    expect(suite).toContain(`'input ${number}'`);
  });

  it('18 is none: a password may hold an @', () => {
    const { connections } = resolveConfiguration({}, { REDIS_URL: 'redis://app:p@ss@db' });

    expect(connections.get('default')).toMatchObject({ host: 'db', username: 'app' });
    expect(connections.get('default')!.password).toBe('p@ss');
  });

  it('is complete from 1 to 40', () => {
    const numbers = new Set([...ROWS.map(([number]) => number), ...NEED_A_SERVER, ...GOOD]);

    expect([...numbers].sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, index) => index + 1));
  });
});
