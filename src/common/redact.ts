const MASK = '***';
const SECRET_NAME = /pass(word|phrase)?|secret|token|credential|private|^key$|^cert$|^pfx$|^auth$/i;
const URL_WITH_USERINFO = /([a-z][a-z0-9+.-]*:\/\/)[^\s"']*@/gi;

/**
 * Replaces the user-info part of every URL in a text with `***`.
 *
 * @example redactText('redis://app:pw@db:6379/1'); // 'redis://***@db:6379/1'
 */
export function redactText(text: string): string {
  return text.replace(URL_WITH_USERINFO, `$1${MASK}@`);
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
  const out: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value)) {
    const secret = SECRET_NAME.test(name) && item !== undefined && item !== null;
    out[name] = secret ? MASK : redact(item, depth - 1);
  }
  return out;
}
