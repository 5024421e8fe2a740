const BRAND = Symbol.for('rednest:error');

/**
 * What is known about a write when its call failed.
 *
 * - `not-sent`: the server never saw it; sending it again is safe
 * - `refused`: the server answered with an error and changed nothing
 * - `unknown`: it left this process and no answer came back; it may have been applied
 */
export type Outcome = 'not-sent' | 'refused' | 'unknown';

/**
 * Base of every error Rednest throws on purpose. Messages never contain passwords, tokens,
 * URLs with credentials or stored values.
 */
export abstract class RednestError extends Error {
  /** Class name, stable under minification. */
  abstract override readonly name: string;
  /** Stable machine-readable code, `ERR_<WHAT>`. */
  abstract readonly code: string;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    Object.defineProperty(this, BRAND, { value: true });
  }
}

/**
 * Tells whether a value is a Rednest error, also when it was created by another copy of the
 * package in the same process.
 *
 * @param code when given, the error must carry exactly this code
 * @example
 * if (isRednestError(error, 'ERR_REDIS_TIMEOUT')) return fallback;
 */
export function isRednestError(error: unknown, code?: string): error is RednestError {
  if (typeof error !== 'object' || error === null) return false;
  if ((error as Record<symbol, unknown>)[BRAND] !== true) return false;
  return code === undefined || (error as { code?: unknown }).code === code;
}

/**
 * Thrown at start-up when options or environment variables cannot be used. Lists every fault
 * found, each with the name of the setting and a way to mend it.
 */
export class ConfigurationError extends RednestError {
  override readonly name = 'ConfigurationError';
  override readonly code = 'ERR_CONFIGURATION';
  /** One sentence per fault; the message joins them. */
  readonly faults: readonly string[];

  constructor(faults: string | readonly string[], options?: ErrorOptions) {
    const list = typeof faults === 'string' ? [faults] : faults;
    super(list.length === 1 ? list[0]! : formatFaults(list), options);
    this.faults = Object.freeze([...list]);
  }
}

function formatFaults(faults: readonly string[]): string {
  return `${faults.length} configuration faults:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`;
}
