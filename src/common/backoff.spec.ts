import { describe, expect, it } from '@jest/globals';
import { backoffDelayMs } from './backoff.js';

const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 2 ** 31);
const ALMOST_ONE = 1 - Number.EPSILON;

describe('backoffDelayMs', () => {
  it('doubles up to the cap', () => {
    const delays = [1, 2, 3, 4, 5, 6, 7].map((attempt) =>
      backoffDelayMs(attempt, { baseMs: 50, capMs: 1000, random: () => ALMOST_ONE }),
    );

    expect(delays).toEqual([50, 100, 200, 400, 800, 1000, 1000]);
  });

  it('spreads over the upper half', () => {
    expect(backoffDelayMs(3, { baseMs: 50, capMs: 1000, random: () => 0 })).toBe(100);
    expect(backoffDelayMs(3, { baseMs: 50, capMs: 1000, random: () => 0.5 })).toBe(150);
  });

  it.each([0, -5, 1])('takes attempt %p for the first one', (attempt) => {
    expect(backoffDelayMs(attempt, { baseMs: 50, capMs: 1000, random: () => ALMOST_ONE })).toBe(50);
  });

  it.each([31, 1000, 2 ** 31, Number.MAX_SAFE_INTEGER, Infinity])('stays finite at attempt %p', (attempt) => {
    expect(backoffDelayMs(attempt, { baseMs: 1, capMs: 2000, random: () => ALMOST_ONE })).toBe(2000);
  });

  it('never exceeds a cap below the base', () => {
    expect(backoffDelayMs(1, { baseMs: 500, capMs: 100, random: () => ALMOST_ONE })).toBe(100);
  });

  it(`gives whole milliseconds between half and all of the exponential value (seed ${seed})`, () => {
    const broken: [number, number][] = [];
    let state = seed;
    const random = () => (state = (state * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31;

    for (let index = 0; index < 5000; index += 1) {
      const attempt = 1 + Math.floor(random() * 40);
      const delay = backoffDelayMs(attempt, { baseMs: 50, capMs: 1000, random });
      const full = Math.min(1000, 50 * 2 ** (attempt - 1));
      if (!Number.isInteger(delay) || delay < full / 2 || delay > full) broken.push([attempt, delay]);
    }

    expect(broken).toEqual([]);
  });
});
