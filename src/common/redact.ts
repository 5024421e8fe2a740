const MASK = '***';
const SECRET_NAME =
  /pass(word|phrase)?|pwd|secret|token|credential|private|authorization|cookie|(api|access)[-_]?key|^key$|^cert$|^pfx$|^auth$/i;

/**
 * Replaces the user-info part of every URL in a text with `***`. A URL ends at white space; within
 * that everything up to the last `@` goes, since a password may hold one, or a quote.
 *
 * @example redactText('redis://app:pw@db:6379/1'); // 'redis://***@db:6379/1'
 */
export function redactText(text: string): string {
  return text.includes('@') ? text.replace(/\S+/g, maskUserInfo) : text;
}

function maskUserInfo(word: string): string {
  const start = word.indexOf('://') + 3;
  const end = word.lastIndexOf('@');
  return start < 3 || end < start ? word : word.slice(0, start) + MASK + word.slice(end);
}

/**
 * Copies plain data with every secret-looking property (`password`, `passphrase`, `token`, `key`,
 * `cert`, ...) masked and every URL stripped of credentials. Class instances and functions become
 * their kind. Depth is bounded, so cycles end.
 */
export function redact(value: unknown, depth = 6): unknown {
  if (typeof value === 'string') return redactText(value);
  if (typeof value !== 'object' || value === null) {
    return typeof value === 'function' ? '[function]' : value;
  }
  if (depth === 0) return '[...]';
  if (Array.isArray(value)) return value.map((item) => redact(item, depth - 1));
  if (Buffer.isBuffer(value)) return `[${value.length} bytes]`;
  if (!isPlain(value)) return `[${kindOf(value)}]`;
  const masked = Object.entries(value).map(([name, item]): [string, unknown] => {
    const secret = SECRET_NAME.test(name) && item !== undefined && item !== null;
    return [name, secret ? MASK : redact(item, depth - 1)];
  });
  return Object.fromEntries(masked);
}

/** Also true for plain objects of another realm. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** Errors are no exception: those of the client carry the command with its arguments. */
function kindOf(value: object): string {
  const { constructor } = value as { constructor?: unknown };
  return typeof constructor === 'function' && constructor.name !== '' ? constructor.name : 'object';
}
