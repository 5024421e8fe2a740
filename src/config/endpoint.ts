import { isIPv4, isIPv6 } from 'node:net';
import { ConfigurationError } from '../common/index.js';
import { collect, kindOfNumeral, textProblem } from './faults.js';

/** Port a Redis server listens on unless told otherwise. */
export const REDIS_PORT = 6379;
/** Port a Sentinel listens on unless told otherwise. */
export const SENTINEL_PORT = 26379;
/** Largest accepted database number; servers allow up to their `databases` setting. */
export const MAX_DB = 16_383;

/** Where one server listens. IPv6 addresses stand without brackets. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

const NAME =
  /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$/;

/**
 * Checks a host: a name, an IPv4 or an IPv6 address (with or without brackets).
 *
 * @returns the host without brackets
 * @throws {ConfigurationError} saying what was given instead
 */
export function parseHost(text: string, label: string): string {
  const problem = textProblem(text) ?? hostProblem(unbracket(text));
  if (problem) throw new ConfigurationError(`${label} ${problem}`);
  return unbracket(text);
}

function unbracket(text: string): string {
  return text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text;
}

function hostProblem(host: string): string | undefined {
  if (isIPv4(host) || isIPv6(host)) return undefined;
  if (host.includes('://'))
    return 'holds a URL where a host is expected; give the host alone, or use a URL setting';
  if (host.startsWith('/'))
    return 'holds a path where a host is expected; for a unix socket use unix:///path/to.sock as URL';
  if (host.includes(',')) return `lists several hosts; ${LIST_FIX}`;
  if (host.includes(':'))
    return 'holds a colon; give the port separately and write an IPv6 address in brackets';
  if (/^\d+$/.test(host)) return 'has a number in place of the host (a port?); name a host';
  if (/^[\d.]+$/.test(host))
    return 'has a host that looks like an IPv4 address but is not one; write four numbers from 0 to 255';
  return NAME.test(host)
    ? undefined
    : 'has a host with characters that host names cannot have; use letters, digits, - and .';
}

/** What to do with a list of hosts in a place for one. */
export const LIST_FIX =
  'for Sentinel use REDIS_SENTINEL_HOSTS with REDIS_SENTINEL_NAME, for Cluster use REDIS_CLUSTER_NODES';

/**
 * Reads a port as written in a URL or a list.
 *
 * @throws {ConfigurationError} unless it is a whole number from 1 to 65535
 */
export function parsePort(text: string, label: string): number {
  const port = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= 65_535) return port;
  throw new ConfigurationError(
    `${label} has a port that is not a whole number from 1 to 65535; ${portFix(text)}`,
  );
}

function portFix(text: string): string {
  if (text === '') return 'write one after the colon, or leave the colon out';
  return 'correct it (in a URL a password goes before an @: redis://:password@host)';
}

/**
 * Reads `host`, `host:port`, `[ipv6]` or `[ipv6]:port`.
 *
 * @param defaultPort used when none is written
 * @throws {ConfigurationError} naming what is wrong, without repeating the text
 */
export function parseHostPort(text: string, label: string, defaultPort: number): HostPort {
  if (text.includes(',')) throw new ConfigurationError(`${label} lists several hosts; ${LIST_FIX}`);
  if (text.startsWith('[')) return parseBracketed(text, label, defaultPort);
  const colons = text.split(':').length - 1;
  if (colons > 1)
    throw new ConfigurationError(
      `${label} has more than one colon after the host; write an IPv6 address in brackets`,
    );
  const [host = '', port] = text.split(':');
  if (host === '')
    throw new ConfigurationError(`${label} names no host; write one, nothing falls back to localhost`);
  return { host: parseHost(host, label), port: port === undefined ? defaultPort : parsePort(port, label) };
}

function parseBracketed(text: string, label: string, defaultPort: number): HostPort {
  const match = /^\[([^\]]*)\](?::(.*))?$/.exec(text);
  if (!match || !isIPv6(match[1]!)) {
    throw new ConfigurationError(
      `${label} has a broken IPv6 address; write it as [2001:db8::1] or [2001:db8::1]:6379`,
    );
  }
  return { host: match[1]!, port: match[2] === undefined ? defaultPort : parsePort(match[2], label) };
}

/** One entry of a list of servers, as written by the user. */
export type HostInput = string | { readonly host: string; readonly port?: number };

/**
 * Reads a list of servers; a fault names the entry by its position.
 *
 * @throws {ConfigurationError} with one fault per bad entry
 */
export function parseHostList(
  entries: readonly HostInput[],
  label: string,
  defaultPort: number,
): readonly HostPort[] {
  if (entries.length === 0)
    throw new ConfigurationError(`${label} is an empty list; name at least one host:port`);
  const faults: string[] = [];
  const hosts = entries.map((entry, index) =>
    collect(faults, () => Object.freeze(parseEntry(entry, `${label} entry ${index + 1}`, defaultPort))),
  );
  if (faults.length > 0) throw new ConfigurationError(faults);
  return Object.freeze(hosts as HostPort[]);
}

function parseEntry(entry: HostInput, label: string, defaultPort: number): HostPort {
  if (typeof entry !== 'string')
    return { host: parseHost(entry.host, label), port: entry.port ?? defaultPort };
  const problem = textProblem(entry);
  if (problem) throw new ConfigurationError(`${label} ${problem}`);
  if (entry.includes('://')) throw new ConfigurationError(`${label} is a URL; write host:port`);
  return parseHostPort(entry, label, defaultPort);
}

/**
 * Reads a database number.
 *
 * @throws {ConfigurationError} unless it is a plain whole number from 0 to 16383
 */
export function parseDb(text: string, label: string): number {
  const db = /^(0|[1-9]\d{0,4})$/.test(text) ? Number(text) : Number.NaN;
  if (db <= MAX_DB) return db;
  throw new ConfigurationError(
    `${label} has a database that is not a whole number from 0 to ${MAX_DB} (it is ${kindOfNumeral(text)}); write /0 or leave it out`,
  );
}
