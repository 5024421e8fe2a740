import { ConfigurationError } from './errors.js';

const UNSAFE = /[%:{}*?[\]\\\s\u0000-\u001f\u007f]/g;
const LONE_SURROGATE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;
const PREFIX = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;

/**
 * Escapes one part of a key so that it cannot reach outside its place: separators, hash-tag
 * braces, glob characters, white space and control characters become `%XX`. Two different parts
 * never escape to the same text.
 *
 * @throws {ConfigurationError} when the part is empty, neither text nor a finite number, or text that
 * UTF-8 cannot carry
 */
export function escapeKeyPart(part: string | number): string {
  const text = partText(part);
  if (text === '') throw new ConfigurationError('A key part is empty; give a non-empty identifier');
  if (LONE_SURROGATE.test(text)) {
    throw new ConfigurationError('A key part holds a lone surrogate, which UTF-8 cannot carry');
  }
  return text.replace(UNSAFE, percentEncode);
}

/** A missing id must not turn into the key that everybody without an id shares. */
function partText(part: unknown): string {
  if (typeof part === 'string') return part;
  if (typeof part === 'number' && Number.isFinite(part)) return String(part);
  const kind = typeof part === 'number' || part === null ? String(part) : typeof part;
  throw new ConfigurationError(`A key part is ${kind}; give text or a finite number`);
}

function percentEncode(char: string): string {
  const bytes = Buffer.from(char, 'utf8');
  let out = '';
  for (const byte of bytes) out += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  return out;
}

/**
 * Builds `<prefix>:<capability>:{<routing id>}:<rest>`. Every part is escaped; the braces around
 * the routing id are the Redis Cluster hash tag, so all keys of one routing id share a slot.
 *
 * @param routingId what decides the slot: a tenant, a user, a lock name
 * @param rest further parts, in order; none for a key that is the routing id alone
 * @see https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
 */
export function buildKey(
  prefix: string,
  capability: string,
  routingId: string | number,
  ...rest: readonly (string | number)[]
): string {
  let key = `${prefix}:${capability}:{${escapeKeyPart(routingId)}}`;
  for (const part of rest) key += `:${escapeKeyPart(part)}`;
  return key;
}

/**
 * Checks a key prefix or application name: letters, digits and `. _ : -`, at most 128 characters,
 * starting with a letter or digit.
 *
 * @throws {ConfigurationError} naming the setting and the rule
 */
export function assertKeyPrefix(value: string, name: string): string {
  if (PREFIX.test(value) && !value.endsWith(':')) return value;
  throw new ConfigurationError(
    `${name} is not usable as a key prefix; use letters, digits and . _ - (and : between words), ` +
      'at most 128 characters, starting with a letter or digit',
  );
}
