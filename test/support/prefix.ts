import { randomBytes } from 'node:crypto';

/** A key prefix no other test uses. */
export function uniquePrefix(): string {
  return `t${randomBytes(6).toString('hex')}`;
}
