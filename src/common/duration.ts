import { describeValue } from './describe-value.js';
import { ConfigurationError } from './errors.js';

/** Unit suffixes a {@link Duration} string may carry. */
export type DurationUnit = 'ms' | 's' | 'm' | 'h' | 'd';

/**
 * A span of time: a whole number of milliseconds, or a number with a unit such as
 * `'250ms'`, `'30s'`, `'5m'`, `'2h'` or `'1d'`.
 */
export type Duration = number | `${number}${DurationUnit}`;

/** Bounds that {@link resolveDuration} enforces, in milliseconds. */
export interface DurationBounds {
  /** Smallest accepted value in milliseconds. @default 1 */
  minMs?: number;
  /** Largest accepted value in milliseconds. @default 31_536_000_000 (365 days) */
  maxMs?: number;
}

const UNIT_MS: Record<DurationUnit, number> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const PATTERN = /^(\d+)(?:\.(\d+))?(ms|s|m|h|d)$/;
const YEAR_MS = 365 * UNIT_MS.d;

/**
 * Converts a {@link Duration} to whole milliseconds and checks its range.
 *
 * @param value what the caller wrote
 * @param name the option's name, used in the error
 * @throws {ConfigurationError} when the value is not a duration, is not a whole number of
 * milliseconds, or lies outside the bounds
 * @example
 * resolveDuration('30s', 'ttl'); // 30000
 */
export function resolveDuration(value: Duration, name: string, bounds: DurationBounds = {}): number {
  const { minMs = 1, maxMs = YEAR_MS } = bounds;
  const ms = toMilliseconds(value);
  if (ms === undefined) {
    throw new ConfigurationError(
      `Option "${name}" is not a duration (${describeValue(value)}); ` +
        `give whole milliseconds as a number, or a string such as "250ms", "30s", "5m", "1d"`,
    );
  }
  if (ms < minMs || ms > maxMs) {
    throw new ConfigurationError(
      `Option "${name}" is ${ms} ms, outside the accepted range of ${minMs} to ${maxMs} ms`,
    );
  }
  return ms;
}

function toMilliseconds(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : undefined;
  if (typeof value !== 'string') return undefined;
  const match = PATTERN.exec(value);
  if (!match) return undefined;
  const [, whole = '', fraction = '', unit] = match;
  // Division last: 1.001 * 1000 is not 1001 in binary fractions, 1001 * 1000 / 1000 is.
  const ms = (Number(whole + fraction) * UNIT_MS[unit as DurationUnit]) / 10 ** fraction.length;
  return Number.isSafeInteger(ms) ? ms : undefined;
}
