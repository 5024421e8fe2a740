import { BadRequestException, type PipeTransform } from '@nestjs/common';
import { z, type ZodString, type ZodType } from 'zod';
import { problem } from './problem.js';

/** Identifier in a path. */
export const Identifier = z
  .string()
  .regex(/^[A-Za-z0-9._-]{1,64}$/, 'letters, digits and . _ - (at most 64)');

/** Text of a body that may become part of a key, which half of a surrogate pair cannot. */
export const text = (minLength: number, maxLength: number): ZodString =>
  z
    .string()
    .min(minLength)
    .max(maxLength)
    .refine((value) => !/\p{Surrogate}/u.test(value), 'not valid Unicode');

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
