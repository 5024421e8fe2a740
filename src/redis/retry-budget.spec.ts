import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { RetryBudget } from './retry-budget.js';
import { Silence } from './silence.js';

describe('RetryBudget', () => {
  const spendAll = (budget: RetryBudget) => {
    let count = 0;
    while (budget.spend()) count += 1;
    return count;
  };

  it('allows ten retries at first, then one for ten successes', () => {
    const budget = new RetryBudget();

    expect(spendAll(budget)).toBe(10);
    for (let count = 0; count < 51; count += 1) budget.earn();
    expect(spendAll(budget)).toBe(5);
  });

  it('saves up no more than a hundred', () => {
    const budget = new RetryBudget();
    for (let count = 0; count < 100_000; count += 1) budget.earn();

    expect(spendAll(budget)).toBeLessThanOrEqual(100);
  });
});

describe('Silence', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  it('is long when nothing was answered for a quarter of a second, counted from the first call without answer', () => {
    const silence = new Silence();
    const sentMs = performance.now();
    jest.advanceTimersByTime(50);
    expect(silence.isLong(7, sentMs)).toBe(false);
    jest.advanceTimersByTime(210);

    expect(silence.isLong(7, performance.now() - 50)).toBe(true);
    expect(silence.isLong(8, performance.now() - 50)).toBe(false);
  });
});
