import type { CheckedPart } from './job-schema.js';
import { JobValidationError } from './queue.errors.js';

/** Whether a value is the same after it was written as JSON and read again; fields without a value aside. */
export function survivesJson(value: unknown): boolean {
  try {
    return isPlain(value);
  } catch {
    // So deep, or so circular, that the stack ends first.
    return false;
  }
}

/**
 * Writes a payload as JSON.
 *
 * @throws {JobValidationError} when it cannot be written, as a BigInt or a circle
 */
export function toJson(value: unknown, { queue, jobName, part }: CheckedPart): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    throw new JobValidationError(queue, jobName, part, ['(cannot be written as JSON)']);
  }
}

function isPlain(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object' || value === null) {
    return typeof value !== 'bigint' && typeof value !== 'function' && typeof value !== 'symbol';
  }
  if (Array.isArray(value)) return value.every((item) => item !== undefined && isPlain(item));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  return !('toJSON' in value) && Object.values(value).every(isPlain);
}
