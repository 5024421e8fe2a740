import { Cluster, type Redis } from 'ioredis';
import { ConfigurationError, resolveWholeNumber } from '../common/index.js';
import type { CallOptions, RedisExecutor } from './executor.js';

/** Which keys a scan visits, and how. */
export interface ScanOptions extends Pick<CallOptions, 'deadlineMs' | 'signal'> {
  /**
   * Glob pattern, at most 256 characters: `*`, `?`, `[ab]`, `\` before a literal. Escape what comes from
   * outside with {@link escapeGlob}. @default all keys
   */
  match?: string;
  /** Buckets the server looks at per round trip, 1 to 10,000; a hint, not a page size. @default 500 */
  count?: number;
  /** Only keys of this type, as `TYPE` names it: `string`, `hash`, `stream`, ... @default all */
  type?: string;
}

/** Longest accepted pattern: the work of the server grows steeply with the length of a pattern. */
export const MAX_PATTERN_LENGTH = 256;

/** Keys remembered per master to leave out repetitions. */
const REMEMBERED_KEYS = 10_000;

/**
 * Makes a text match only itself inside a glob pattern.
 *
 * @example
 * operations.scan({ match: `shop:cart:${escapeGlob(userInput)}:*` });
 */
export function escapeGlob(text: string): string {
  return text.replace(/[*?[\]\\^-]/g, '\\$&');
}

/**
 * Checks a glob pattern.
 *
 * @throws {ConfigurationError} when it is empty, not a text, or too long
 */
export function assertPattern(pattern: unknown): string {
  if (typeof pattern !== 'string' || pattern === '') {
    throw new ConfigurationError('A key pattern must be a text that is not empty');
  }
  if (pattern.length <= MAX_PATTERN_LENGTH) return pattern;
  throw new ConfigurationError(
    `A key pattern has ${pattern.length} characters; at most ${MAX_PATTERN_LENGTH} are accepted`,
  );
}

/** Non-empty pages of keys of every master, one SCAN per page, one master after the other. */
export async function* scanPages(
  executor: RedisExecutor,
  operation: string,
  options: ScanOptions,
): AsyncGenerator<string[], void, undefined> {
  const args = scanArguments(options);
  const call = { ...pickCall(options), idempotent: true };
  const masters = await executor.run(operation, (client) => Promise.resolve(mastersOf(client)), call);
  for (const master of masters) {
    const recent = new RecentKeys();
    let cursor = '0';
    do {
      const page = await executor.run(operation, () => scanOnce(master, cursor, args), call);
      cursor = page.cursor;
      const keys = page.keys.filter((key) => recent.isNew(key));
      if (keys.length > 0) yield keys;
    } while (cursor !== '0');
  }
}

function mastersOf(client: Redis | Cluster): Redis[] {
  return client instanceof Cluster ? client.nodes('master') : [client];
}

async function scanOnce(
  node: Redis,
  cursor: string,
  args: readonly (string | number)[],
): Promise<{ cursor: string; keys: string[] }> {
  const [next, keys] = (await node.call('SCAN', cursor, ...args)) as [string, string[]];
  return { cursor: next, keys };
}

function scanArguments({ match, count = 500, type }: ScanOptions): (string | number)[] {
  return [
    ...(match === undefined ? [] : ['MATCH', assertPattern(match)]),
    'COUNT',
    resolveWholeNumber(count, 'count', { max: 10_000 }),
    ...(type === undefined ? [] : ['TYPE', type]),
  ];
}

function pickCall({ deadlineMs, signal }: ScanOptions): CallOptions {
  return {
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
    ...(signal === undefined ? {} : { signal }),
  };
}

/** SCAN may report a key again while the server resizes its table; such repetitions come close together. */
class RecentKeys {
  private current = new Set<string>();
  private previous = new Set<string>();

  isNew(key: string): boolean {
    if (this.current.has(key) || this.previous.has(key)) return false;
    if (this.current.size >= REMEMBERED_KEYS / 2) {
      this.previous = this.current;
      this.current = new Set();
    }
    this.current.add(key);
    return true;
  }
}
