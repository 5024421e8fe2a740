import { BadRequestException, type PipeTransform } from '@nestjs/common';
import type { ZodType } from 'zod';
import { problem } from './problem.js';

/** Validates a body or parameter with a schema; a mismatch is a 400 that names the fields. */
export class SchemaPipe<T> implements PipeTransform<unknown, T> {
  constructor(private readonly schema: ZodType<T>) {}

  transform(value: unknown): T {
    const parsed = this.schema.safeParse(value);
    if (parsed.success) return parsed.data;
    const errors = parsed.error.issues.map(({ path, message }) => ({ field: path.join('.'), message }));
    throw new BadRequestException(problem(400, 'The request is not valid', { errors }));
  }
}
