import { ConfigurationError } from '../common/index.js';

/**
 * A setting together with the name its owner knows it by. `value` is `undefined` when the setting
 * was given but could not be used; the fault is then already on the list.
 */
export interface Labelled<T> {
  /** `REDIS_URL`, or `Option "connections.cache.url"`. */
  readonly label: string;
  readonly value: T | undefined;
}

/**
 * Runs one check and moves its {@link ConfigurationError} onto the list, so that the others still run.
 *
 * @returns the result, or `undefined` when the check failed
 */
export function collect<T>(faults: string[], check: () => T): T | undefined {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    faults.push(...error.faults);
    return undefined;
  }
}

/**
 * Says what kind of value this is, without repeating it.
 *
 * @param showsNumbers set it where a number is expected, since one that is out of range is no secret
 */
export function kindOf(value: unknown, showsNumbers = false): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'number') return showsNumbers ? String(value) : 'a number';
  if (value === '') return 'an empty text';
  if (typeof value === 'string') return `a text of ${value.length} character${value.length === 1 ? '' : 's'}`;
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** As {@link kindOf}, for a text in which a number is expected; a short number is repeated. */
export function kindOfNumeral(text: string): string {
  return /^[-+]?\d{1,6}(\.\d{1,3})?$/.test(text) ? text : kindOf(text);
}

/**
 * Finds what copying and templating do to a value: blanks, stray white space, quotes that were kept,
 * placeholders nobody filled in.
 *
 * @returns the rest of a sentence that starts with the setting's name, or `undefined`
 */
export function textProblem(text: string): string | undefined {
  if (text === '') return 'is empty; give it a value or remove it';
  if (text.trim() === '') return 'is blank (only white space); give it a value or remove it';
  if (text.trim() !== text) return 'starts or ends with white space or a line break; remove that';
  if (hasControlCharacter(text)) return 'contains a line break or another control character; remove it';
  if (/^(["'`]).*\1$/.test(text)) return 'is wrapped in quotes that are part of the value; remove them';
  if (/\$\{[^}]*\}|\$\([A-Z_][A-Z0-9_]*\)/i.test(text)) {
    return 'contains an unexpanded placeholder (${...}); whatever should have filled it in did not run';
  }
  return undefined;
}

function hasControlCharacter(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 32 || code === 127) return true;
  }
  return false;
}
