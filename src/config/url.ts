import { ConfigurationError } from '../common/index.js';
import { LIST_FIX, parseDb, parseHostPort, REDIS_PORT } from './endpoint.js';
import { kindOf, textProblem } from './faults.js';
import { conceal } from './secrets.js';

/** Login and database as written in a URL; each is absent when the URL does not say. */
export interface UrlLogin {
  readonly username?: string;
  /** Not enumerable, and masked when printed. */
  readonly password?: string;
  readonly db?: number;
}

/** What a Redis URL says. */
export type RedisEndpoint = (
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly tls: boolean }
  | { readonly kind: 'unix'; readonly path: string }
) &
  UrlLogin;

const FORM = 'redis://host:6379/0, rediss://host:6379/0 (TLS) or unix:///path/to.sock?db=0';
const FOREIGN_SCHEMES: Readonly<Record<string, string>> = {
  http: 'write redis:// instead',
  https: 'write rediss:// instead',
  tcp: 'write redis:// instead',
  tls: 'write rediss:// instead',
  valkey: 'write redis:// instead (the protocol is the same)',
  valkeys: 'write rediss:// instead (the protocol is the same)',
  'redis+tls': 'write rediss:// instead',
  'redis+ssl': 'write rediss:// instead',
  'redis+unix': 'write unix:///path/to.sock instead',
  'redis-socket': 'write unix:///path/to.sock instead',
  'redis-sentinel': LIST_FIX,
  'redis+sentinel': LIST_FIX,
  'rediss+sentinel': LIST_FIX,
  'redis-cluster': LIST_FIX,
  'redis+cluster': LIST_FIX,
};

/**
 * Reads a Redis URL strictly: everything in it is used, or it is refused.
 *
 * - `redis://[user[:password]@]host[:port][/db]`; `rediss://` is the same over TLS
 * - `unix://[user[:password]@]/path/to.sock[?db=n]`
 *
 * User and password are percent-decoded, IPv6 addresses stand in brackets, the port defaults to 6379.
 * A host is always required. Query options other than `db` of a unix socket are refused.
 *
 * @param name what the fault calls the URL
 * @throws {ConfigurationError} saying what is wrong and how to mend it, without repeating the URL
 * @example
 * parseRedisUrl('rediss://app:s%40fe@cache.example:6380/2');
 */
export function parseRedisUrl(text: string, name = 'REDIS_URL'): RedisEndpoint {
  const { scheme, rest } = splitScheme(text, name);
  if (rest.includes('#'))
    refuse(name, 'contains an unescaped #; inside a user name or password write it as %23');
  return scheme === 'unix' ? parseUnix(rest, name) : parseTcp(rest, scheme === 'rediss', name);
}

function refuse(name: string, problem: string): never {
  throw new ConfigurationError(`${name} ${problem}`);
}

function splitScheme(text: string, name: string): { scheme: string; rest: string } {
  if (typeof text !== 'string') refuse(name, `must be a URL such as ${FORM}, but is ${kindOf(text)}`);
  const problem = textProblem(text);
  if (problem) refuse(name, problem);
  if (/\s/.test(text)) refuse(name, 'contains white space; inside a user name or password write it as %20');
  const [, written, rest] = /^([a-z][a-z0-9+.-]*):(.*)$/i.exec(text) ?? [];
  const scheme = written?.toLowerCase() ?? '';
  if (Object.hasOwn(FOREIGN_SCHEMES, scheme)) {
    refuse(name, `has the scheme ${scheme}:, which is not supported; ${FOREIGN_SCHEMES[scheme]}`);
  }
  if (!['redis', 'rediss', 'unix'].includes(scheme)) refuse(name, schemeProblem(text));
  if (!rest?.startsWith('//')) refuse(name, `needs two slashes after the scheme; write ${scheme}://...`);
  return { scheme, rest: rest.slice(2) };
}

function schemeProblem(text: string): string {
  if (/^(rediss?|unix)\/\//i.test(text))
    return 'misses the colon of its scheme; write redis://, rediss:// or unix://';
  return `does not start with a scheme Rednest knows; write ${FORM}`;
}

function parseTcp(rest: string, tls: boolean, name: string): RedisEndpoint {
  const { authority, path, query } = splitRest(rest, name);
  if (query !== undefined) refuse(name, queryProblem(query));
  const at = authority.lastIndexOf('@');
  const login = parseLogin(authority.slice(0, Math.max(at, 0)), at >= 0, name);
  const place = parseHostPort(authority.slice(at + 1), name, REDIS_PORT);
  return conceal({ kind: 'tcp' as const, ...place, tls, ...login, db: parsePathDb(path, name) }, [
    'password',
  ]);
}

function splitRest(
  rest: string,
  name: string,
): { authority: string; path: string; query: string | undefined } {
  const mark = rest.indexOf('?');
  const before = mark < 0 ? rest : rest.slice(0, mark);
  const query = mark < 0 ? undefined : rest.slice(mark + 1);
  const slash = before.indexOf('/');
  const authority = slash < 0 ? before : before.slice(0, slash);
  const path = slash < 0 ? '' : before.slice(slash);
  if (query?.includes('@'))
    refuse(name, 'contains an unescaped ? before the @; in a password write it as %3F');
  if (path.includes('@')) refuse(name, 'contains an unescaped / before the @; in a password write it as %2F');
  return { authority, path, query };
}

function queryProblem(query: string): string {
  if (query.startsWith('db='))
    return 'gives the database as a query option; write it as path: redis://host:6379/1';
  return 'has query options (after the ?), which are not read; remove them, timeouts and TLS files have settings of their own';
}

function parsePathDb(path: string, name: string): number | undefined {
  if (path === '' || path === '/') return undefined;
  const text = path.slice(1);
  if (text.includes('/'))
    refuse(name, 'has more than a database number after the host; write /0 or leave it out');
  return parseDb(text, name);
}

function parseLogin(
  userInfo: string,
  isGiven: boolean,
  name: string,
): { username?: string; password?: string } {
  if (!isGiven) return {};
  const colon = userInfo.indexOf(':');
  const username = decode(colon < 0 ? userInfo : userInfo.slice(0, colon), name);
  const password = colon < 0 ? undefined : decode(userInfo.slice(colon + 1), name);
  if (password === '' || (username === '' && password === undefined)) {
    refuse(name, 'has an empty user or password before the @; fill it in, or remove everything up to the @');
  }
  return { username: username === '' ? undefined : username, password };
}

function decode(text: string, name: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return refuse(
      name,
      'has a % in the user or password that starts no valid escape; write a literal % as %25',
    );
  }
}

function parseUnix(rest: string, name: string): RedisEndpoint {
  const slash = rest.indexOf('/');
  const authority = slash < 0 ? rest : rest.slice(0, slash);
  if (slash < 0 || (authority !== '' && !authority.endsWith('@'))) {
    refuse(name, 'needs an absolute path after unix://, so three slashes: unix:///path/to.sock');
  }
  const [path, query] = splitOnce(rest.slice(slash), '?');
  if (path.endsWith('/')) refuse(name, 'names a directory in place of a socket; write unix:///path/to.sock');
  const login = parseLogin(authority.slice(0, -1), authority !== '', name);
  const db = query === undefined ? undefined : parseUnixDb(query, name);
  return conceal({ kind: 'unix' as const, path: decode(path, name), ...login, db }, ['password']);
}

function splitOnce(text: string, mark: string): [string, string | undefined] {
  const at = text.indexOf(mark);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function parseUnixDb(query: string, name: string): number {
  const match = /^db=([^&]*)$/.exec(query);
  if (!match) refuse(name, 'has query options other than db; a unix socket takes ?db=n alone');
  return parseDb(match[1]!, name);
}
