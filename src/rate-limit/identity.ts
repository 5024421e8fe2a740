import { createHash } from 'node:crypto';
import { ConfigurationError, escapeKeyPart } from '../common/index.js';

/**
 * Whom a request counts for: one text, or several parts such as `['tenant', tenantId]`. Parts never
 * run into each other: `['a:b', 'c']` and `['a', 'b:c']` are two identities.
 */
export type RateLimitId = string | readonly string[];

/** Longest identity that stands in a key as it is, in bytes. */
const MAX_BYTES = 48;

/** What needs neither escaping nor a hash; most identities are such. */
const PLAIN = /^[\w.@+-]{1,48}$/;

/** Text with a lone surrogate has no UTF-8 form of its own. */
const NOT_UTF8 = /\p{Surrogate}/u;

/**
 * Turns an identity into the routing part of a key, escaped. Long ones are replaced by 132 bits of their
 * SHA-256, so that callers cannot make keys of any length.
 *
 * @throws {ConfigurationError} when there is no part, or one is empty or not text
 */
export function encodeIdentity(id: RateLimitId): string {
  if (typeof id === 'string' && PLAIN.test(id)) return id;
  const parts = typeof id === 'string' ? [id] : id;
  if (!Array.isArray(parts) || parts.length === 0) {
    throw new ConfigurationError('A rate limit identity is neither text nor a list of texts');
  }
  const text = parts.map(encodePart).join('/');
  if (Buffer.byteLength(text) <= MAX_BYTES && !NOT_UTF8.test(text)) return escapeKeyPart(text);
  // `~h` cannot come from encodePart, so no short identity can pose as a hashed one.
  return `~h${digest(text)}`;
}

/**
 * An identity that must not be readable in keys, such as an API key: always its hash.
 *
 * @throws the errors of {@link encodeIdentity}
 * @example
 * limiter.consume(['key', hashedId(apiKey)], policy);
 */
export function hashedId(id: RateLimitId): string {
  const parts = typeof id === 'string' ? [id] : id;
  if (!Array.isArray(parts) || parts.length === 0) {
    throw new ConfigurationError('A rate limit identity is neither text nor a list of texts');
  }
  return digest(parts.map(encodePart).join('/'));
}

function digest(text: string): string {
  return createHash('sha256').update(text, 'utf16le').digest('base64url').slice(0, 22);
}

/** Escapes the separator as JSON pointers do (RFC 6901). */
function encodePart(part: unknown): string {
  if (typeof part !== 'string' || part === '') {
    const what = part === '' ? 'an empty text' : `a value of type ${typeof part}`;
    throw new ConfigurationError(`A rate limit identity holds ${what}; give a non-empty text`);
  }
  return part.replaceAll('~', '~0').replaceAll('/', '~1');
}
