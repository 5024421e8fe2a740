import { describe, expect, it } from '@jest/globals';
import { resolveDuration, type Duration } from './duration.js';
import { isRednestError } from './errors.js';

describe('resolveDuration', () => {
  it.each<[Duration, number]>([
    [1, 1],
    [1500, 1500],
    ['1ms', 1],
    ['250ms', 250],
    ['30s', 30_000],
    ['1.5s', 1500],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
    ['365d', 31_536_000_000],
    ['0.25s', 250],
    ['007s', 7000],
    ['1.001s', 1001],
    ['2.3s', 2300],
    ['1.10m', 66_000],
  ])('reads %p', (value, expected) => {
    expect(resolveDuration(value, 'ttl')).toBe(expected);
  });

  it('reads every decimal that is a whole number of milliseconds', () => {
    const all = Array.from({ length: 20_000 }, (_, index) => index + 1);

    expect(all.map((ms) => resolveDuration(`${ms / 1000}s` as Duration, 'ttl'))).toEqual(all);
  });

  it.each([
    NaN,
    Infinity,
    -Infinity,
    1.5,
    2 ** 53,
    '',
    ' 1s',
    '1s ',
    '1s\n',
    '1 s',
    '+1s',
    '-1s',
    '1',
    's',
    '.5s',
    '1.s',
    '1e3s',
    '0x10s',
    '1S',
    '1w',
    '1s1s',
    '1,5s',
    '0.0001s',
    '٣s',
    '9'.repeat(400) + 'd',
    null,
    undefined,
    true,
    {},
    ['1s'],
    1n,
    new Number(5),
    Symbol('1s'),
  ])('refuses %p', (value) => {
    expect(() => resolveDuration(value as Duration, 'ttl')).toThrow(/^Option "ttl" is not a duration/);
  });

  it.each<[Duration, object]>([
    [0, {}],
    [-1, {}],
    ['0s', {}],
    ['366d', {}],
    [9, { minMs: 10 }],
    [11, { maxMs: 10 }],
  ])('refuses %p outside of %p', (value, bounds) => {
    expect(() => resolveDuration(value, 'ttl', bounds)).toThrow(/outside the accepted range/);
  });

  it('takes both bounds themselves', () => {
    expect(resolveDuration(10, 'ttl', { minMs: 10, maxMs: 10 })).toBe(10);
    expect(resolveDuration('0ms', 'ttl', { minMs: 0 })).toBe(0);
  });

  it('names the option and never repeats a long text', () => {
    const secret = `${'x'.repeat(40)}canary`;

    const read = () => resolveDuration(secret as Duration, 'cache.ttl');

    expect(read).toThrow(/cache\.ttl/);
    expect(read).not.toThrow(/canary/);
  });

  it('throws a typed error', () => {
    const caught = attempt(() => resolveDuration(0, 'ttl'));

    expect(isRednestError(caught, 'ERR_CONFIGURATION')).toBe(true);
  });
});

function attempt(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    return error;
  }
}
