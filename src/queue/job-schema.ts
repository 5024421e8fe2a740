import type { StandardSchemaV1 } from '@standard-schema/spec';
import { JobValidationError } from './queue.errors.js';

/** Where a value came from, for the message. */
export interface CheckedPart {
  readonly queue: string;
  readonly jobName: string;
  readonly part: 'data' | 'result';
}

/**
 * Checks a value and returns what the schema makes of it. The answer is a promise only where the schema
 * checks asynchronously: most do not, and there is one check per job.
 *
 * @throws {JobValidationError} naming the fields, never their values
 */
export function checkValue<T>(
  schema: StandardSchemaV1<unknown, T>,
  value: unknown,
  where: CheckedPart,
): T | Promise<T> {
  const result = schema['~standard'].validate(value);
  return result instanceof Promise ? result.then((late) => accept(late, where)) : accept(result, where);
}

function accept<T>(result: StandardSchemaV1.Result<T>, where: CheckedPart): T {
  if (!result.issues) return result.value;
  throw new JobValidationError(where.queue, where.jobName, where.part, result.issues.map(pathOf));
}

function pathOf({ path = [] }: StandardSchemaV1.Issue): string {
  const keys = path.map((segment) => String(typeof segment === 'object' ? segment.key : segment));
  return keys.length === 0 ? '(all of it)' : keys.join('.');
}
