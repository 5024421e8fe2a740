import { describeValue } from './describe-value.js';
import { ConfigurationError } from './errors.js';

/** What {@link resolveWholeNumber} accepts. */
export interface WholeNumberBounds {
  /** @default 1 */
  readonly min?: number;
  /** @default 9007199254740991, the largest that is exact */
  readonly max?: number;
}

/**
 * Checks a count.
 *
 * @param value what the caller wrote
 * @param name the option's name, used in the error
 * @throws {ConfigurationError} when the value is not a whole number, or lies outside the bounds
 * @example
 * resolveWholeNumber(8, 'concurrency', { max: 1000 }); // 8
 */
export function resolveWholeNumber(value: unknown, name: string, bounds: WholeNumberBounds = {}): number {
  const { min = 1, max = Number.MAX_SAFE_INTEGER } = bounds;
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return value as number;
  const accepted = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
  throw new ConfigurationError(
    `Option "${name}" is not usable (${describeValue(value)}); give a whole number ${accepted}`,
  );
}
