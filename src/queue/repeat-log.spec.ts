import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { RepeatLog } from './repeat-log.js';

describe('RepeatLog', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  it('writes a fault once, counts its repeats, and tells them with the next line', () => {
    const lines: string[] = [];
    const log = new RepeatLog((line) => lines.push(line));

    for (let index = 0; index < 100; index += 1) log.report('no');
    log.report('other');
    jest.advanceTimersByTime(31_000);
    log.report('no');

    expect(lines).toEqual(['no', 'other', 'no (99 repeats not shown)']);
  });

  it('keeps a bounded number of faults', () => {
    const lines: string[] = [];
    const log = new RepeatLog((line) => lines.push(line));

    for (let index = 0; index < 1000; index += 1) log.report(`fault ${index}`);

    expect(lines).toHaveLength(1000);
    expect(Object.values(log).some((value) => value instanceof Map && value.size > 100)).toBe(false);
  });
});
