import { ConfigurationError } from '../common/index.js';
import { defineKeyspace } from '../redis/index.js';

/**
 * Key of an entry within its namespace: text, or parts in order. Parts never run together:
 * `['a', 'b']`, `['a/b']` and `'a:b'` are three different keys. A number equals its text.
 */
export type CacheKey = string | readonly (string | number)[];

/**
 * Keys of cache entries, `<prefix>:cache:{<namespace>/<key>}:entry`. The whole key decides the
 * Cluster slot, so that the entries of one namespace spread over all nodes.
 */
export const CACHE_KEYSPACE = defineKeyspace({
  capability: 'cache',
  name: 'entry',
  routing: 'namespace/key',
  parts: [],
  ttl: 'per-call',
  value: 'string',
  description: 'Cached value: format mark and encoded value',
});

/**
 * Builds the Redis key of an entry.
 *
 * @throws {ConfigurationError} when the key, or a part of it, is empty or neither text nor a finite
 * number
 */
export function cacheKey(prefix: string, namespace: string, key: CacheKey): string {
  const parts = typeof key === 'string' ? [key] : key;
  if (!Array.isArray(parts) || parts.length === 0) throw unusable('it has no parts');
  let routingId = escapePart(namespace);
  for (const part of parts as readonly unknown[]) routingId += `/${escapePart(part)}`;
  return CACHE_KEYSPACE.key(prefix, routingId);
}

/** A missing id must not turn into a key that everybody without an id shares. */
function escapePart(part: unknown): string {
  if (typeof part === 'number' && Number.isFinite(part)) return String(part);
  if (typeof part !== 'string') throw unusable(`a part is ${part === null ? 'null' : typeof part}`);
  if (part === '') throw unusable('a part is empty');
  // As in JSON Pointer (RFC 6901): the separator may occur in a part without ending it.
  return /[~/]/.test(part) ? part.replaceAll('~', '~0').replaceAll('/', '~1') : part;
}

function unusable(reason: string): ConfigurationError {
  return new ConfigurationError(
    `A cache key cannot be used: ${reason}; give non-empty text, or an array of non-empty text and finite numbers`,
  );
}
