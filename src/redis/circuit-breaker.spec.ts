import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { CircuitBreaker } from './circuit-breaker.js';

const dead = () => Promise.reject(new Error('no answer'));

describe('CircuitBreaker', () => {
  let changes: string[];
  let breaker: CircuitBreaker;
  beforeEach(() => {
    jest.useFakeTimers();
    changes = [];
    breaker = new CircuitBreaker('default', (state) => changes.push(state));
  });
  afterEach(() => {
    breaker.stop();
    jest.useRealTimers();
  });

  it('opens at the fifth failure in a row, and not at the fourth', () => {
    for (let count = 0; count < 4; count += 1) breaker.failed(dead);
    expect(breaker.isOpen).toBe(false);

    breaker.failed(dead);

    expect(breaker.isOpen).toBe(true);
    expect(changes).toEqual(['open']);
  });

  it('starts counting anew after a success', () => {
    for (let count = 0; count < 4; count += 1) breaker.failed(dead);
    for (let count = 0; count < 20; count += 1) breaker.succeeded();
    for (let count = 0; count < 4; count += 1) breaker.failed(dead);

    expect(breaker.isOpen).toBe(false);
  });

  it('opens when half of at least twenty calls in five seconds failed', () => {
    for (let count = 0; count < 10; count += 1) {
      breaker.succeeded();
      breaker.failed(dead);
    }

    expect(breaker.isOpen).toBe(true);
  });

  it('forgets what is older than five seconds', () => {
    for (let count = 0; count < 9; count += 1) {
      breaker.succeeded();
      breaker.failed(dead);
    }
    jest.advanceTimersByTime(5001);
    breaker.failed(dead);

    expect(breaker.isOpen).toBe(false);
  });

  it('closes when a probe is answered, and tells how long it was open', async () => {
    let isThere = false;
    const probe = () => (isThere ? Promise.resolve('PONG') : dead());
    for (let count = 0; count < 5; count += 1) breaker.failed(probe);

    await jest.advanceTimersByTimeAsync(500);
    expect(breaker.isOpen).toBe(true);
    isThere = true;
    await jest.advanceTimersByTimeAsync(1000);

    expect(breaker.isOpen).toBe(false);
    expect(breaker.openForMs).toBe(0);
    expect(changes).toEqual(['open', 'closed']);
  });

  it('probes at growing intervals, at most every five seconds', async () => {
    let probes = 0;
    const probe = () => {
      probes += 1;
      return dead();
    };
    for (let count = 0; count < 5; count += 1) breaker.failed(probe);

    await jest.advanceTimersByTimeAsync(60_000);

    expect(probes).toBeGreaterThan(10);
    expect(probes).toBeLessThan(20);
  });

  it('closes when the connection becomes ready', () => {
    for (let count = 0; count < 5; count += 1) breaker.failed(dead);

    breaker.close();

    expect(breaker.isOpen).toBe(false);
  });

  it('asks one question at a time when it opens again while a probe is out', async () => {
    let probes = 0;
    const slow = (): Promise<never> => {
      probes += 1;
      return new Promise((_, reject) => setTimeout(() => reject(new Error('no answer')), 500));
    };
    const open = (): void => {
      for (let count = 0; count < 5; count += 1) breaker.failed(slow);
    };
    open();
    await jest.advanceTimersByTimeAsync(600);
    breaker.close();
    open();

    // The one that was out, and those after 500 ms, 500 + 1000 ms and 500 + 2000 ms, each with its time to fail.
    await jest.advanceTimersByTimeAsync(5000);

    expect(probes).toBe(4);
  });

  it('probes no more once it was stopped', async () => {
    let probes = 0;
    for (let count = 0; count < 5; count += 1) {
      breaker.failed(() => {
        probes += 1;
        return dead();
      });
    }

    breaker.stop();
    await jest.advanceTimersByTimeAsync(60_000);

    expect(probes).toBe(0);
  });
});
