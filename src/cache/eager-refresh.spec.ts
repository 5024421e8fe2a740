import { describe, expect, it } from '@jest/globals';
import { isRefreshDue, type Refreshable } from './eager-refresh.js';

const SECOND_US = 1_000_000;

/** A value with 10 s to live that has these left, and took 100 ms to load. */
function valueWith(leftUs: number): Refreshable {
  return { stampUs: 0, softUs: 10 * SECOND_US, staleForUs: -leftUs, loadMs: 100 };
}

describe('isRefreshDue', () => {
  it('is never so without the option', () => {
    expect(isRefreshDue(false, valueWith(0))).toBe(false);
  });

  it('is so from a share of the time on', () => {
    expect(isRefreshDue(0.8, valueWith(2.001 * SECOND_US))).toBe(false);
    expect(isRefreshDue(0.8, valueWith(1.999 * SECOND_US))).toBe(true);
  });

  it('takes a stamp ahead of the clock for one of now', () => {
    const ahead = { ...valueWith(10 * SECOND_US), stampUs: 0.1 * SECOND_US };

    expect(isRefreshDue(0, ahead)).toBe(true);
    expect(isRefreshDue(0.5, ahead)).toBe(false);
  });

  it.each([
    [1, 0.1],
    [1, 0.3],
    [3, 0.3],
    [0.5, 0.02],
  ])('draws with beta %s, %s s before the end, as XFetch says', (beta, leftS) => {
    const DRAWS = 50_000;
    let due = 0;
    for (let draw = 0; draw < DRAWS; draw += 1) {
      if (isRefreshDue({ beta }, valueWith(leftS * SECOND_US))) due += 1;
    }
    const probability = Math.exp(-leftS / (0.1 * beta));

    // Six standard deviations: one run in a billion.
    const sigma = Math.sqrt((probability * (1 - probability)) / DRAWS);
    expect(Math.abs(due / DRAWS - probability)).toBeLessThan(6 * sigma);
  });
});
