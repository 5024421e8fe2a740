/** Says in an error what was given for an option that is no secret: its kind, and a number or the start of a text. */
export function describeValue(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'number') return `number ${value}`;
  if (typeof value === 'string') return `string "${value.slice(0, 32)}"`;
  return typeof value;
}
