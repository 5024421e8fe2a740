import { describe, expect, it } from '@jest/globals';
import { ConfigurationError } from './errors.js';
import { resolveWholeNumber } from './whole-number.js';

describe('resolveWholeNumber', () => {
  it.each([1, 2, 1000])('accepts %p, the bounds included', (value) => {
    expect(resolveWholeNumber(value, 'count', { min: 1, max: 1000 })).toBe(value);
  });

  it('asks for 1 or more unless told otherwise', () => {
    expect(resolveWholeNumber(Number.MAX_SAFE_INTEGER, 'count')).toBe(Number.MAX_SAFE_INTEGER);
    expect(resolveWholeNumber(0, 'count', { min: 0 })).toBe(0);
    expect(() => resolveWholeNumber(0, 'count')).toThrow(
      'Option "count" is not usable (number 0); give a whole number of at least 1',
    );
  });

  it.each([
    [0, 'number 0'],
    [1001, 'number 1001'],
    [1.5, 'number 1.5'],
    [Number.NaN, 'number NaN'],
    [Infinity, 'number Infinity'],
    ['8', 'string "8"'],
    [8n, 'bigint'],
    [null, 'null'],
    [undefined, 'undefined'],
    [Object.create(null), 'object'],
  ])('refuses %p and says what it was', (value, shown) => {
    const check = () => resolveWholeNumber(value, 'a.count', { max: 1000 });

    expect(check).toThrow(ConfigurationError);
    expect(check).toThrow(`Option "a.count" is not usable (${shown}); give a whole number from 1 to 1000`);
  });
});
