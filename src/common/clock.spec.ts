import { describe, expect, it, jest } from '@jest/globals';
import { systemClock } from './clock.js';

describe('systemClock', () => {
  it('reads the clocks of the machine at the time of the call', () => {
    jest.useFakeTimers({ now: 1_000_000 });
    try {
      const startedMs = systemClock.monotonicMs();

      jest.advanceTimersByTime(250);

      expect(systemClock.now()).toBe(1_000_250);
      expect(systemClock.monotonicMs() - startedMs).toBe(250);
    } finally {
      jest.useRealTimers();
    }
  });

  it('has a monotonic side that ignores the wall clock', () => {
    jest.useFakeTimers({ now: 1_000_000 });
    try {
      const startedMs = systemClock.monotonicMs();

      jest.setSystemTime(0);

      expect(systemClock.now()).toBe(0);
      expect(systemClock.monotonicMs()).toBe(startedMs);
    } finally {
      jest.useRealTimers();
    }
  });

  it('cannot be replaced from outside', () => {
    expect(Object.isFrozen(systemClock)).toBe(true);
  });
});
