import { inspect } from 'node:util';

/** What stands in place of a secret. */
export const MASK = '***';

/** Names of properties that hold secrets or key material, wherever they occur in a resolved connection. */
const SECRET_NAMES: ReadonlySet<string> = new Set(['password', 'sentinelPassword', 'ca', 'cert', 'key']);

/**
 * Copies plain data with every secret property replaced by `***`; nested objects and arrays are
 * copied too, absent values are left out.
 */
export function maskSecrets(value: object): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const name of Object.getOwnPropertyNames(value)) {
    const item = (value as Record<string, unknown>)[name];
    if (item === undefined || typeof item === 'function') continue;
    out[name] = SECRET_NAMES.has(name) ? MASK : maskItem(item);
  }
  return out;
}

function maskItem(item: unknown): unknown {
  if (Array.isArray(item)) return item.map(maskItem);
  return typeof item === 'object' && item !== null ? maskSecrets(item) : item;
}

/**
 * Freezes a copy of an object and makes it print without its secrets: `JSON.stringify`,
 * `util.inspect` and everything built on them show `***`, also when it is nested in something else.
 *
 * @param hidden properties that are made non-enumerable as well, so that a spread copy or
 * `console.dir` cannot carry them on; they are still read by name
 */
export function conceal<T extends object>(values: T, hidden: readonly string[] = []): Readonly<T> {
  const out = {} as T;
  for (const name of Object.keys(values) as (keyof T)[]) {
    const value = values[name];
    if (value !== undefined) {
      Object.defineProperty(out, name, { value, enumerable: !hidden.includes(name as string) });
    }
  }
  return withPrintedForm(out, () => maskSecrets(out));
}

/** Gives an object the form it shows to `JSON.stringify` and `util.inspect`, then freezes it. */
export function withPrintedForm<T extends object>(target: T, printed: () => unknown): Readonly<T> {
  Object.defineProperty(target, 'toJSON', { value: printed });
  Object.defineProperty(target, inspect.custom, { value: () => printed() });
  return Object.freeze(target);
}
