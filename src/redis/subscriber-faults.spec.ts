import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { ConnectionLogger } from './connection-log.js';
import { SubscriptionFaults } from './subscriber-faults.js';

describe('SubscriptionFaults', () => {
  let lines: string[];
  let faults: SubscriptionFaults;
  beforeEach(() => {
    jest.useFakeTimers();
    lines = [];
    const warn = (message: unknown): void => void lines.push(String(message));
    faults = new SubscriptionFaults('default', { warn } as ConnectionLogger, 'pretty');
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it('writes one line per source and 30 s, and counts the others', () => {
    for (let time = 0; time < 5; time += 1) faults.report('listener of "a"', new TypeError('no'));
    faults.report('listener of "b"', 'text');
    jest.advanceTimersByTime(30_000);
    faults.report('listener of "a"', new TypeError('no'));

    expect(lines).toEqual([
      '✖ listener of "a" on default: TypeError: no',
      '✖ listener of "b" on default: string',
      '✖ listener of "a" on default: TypeError: no (4 repeats not shown)',
    ]);
  });

  it('keeps errors of a callback and of its promise to itself', async () => {
    faults.isolate(
      'one',
      () => {
        throw new TypeError('thrown');
      },
      1,
    );
    faults.isolate('two', () => Promise.reject(new TypeError('rejected')), 1);
    await Promise.resolve();

    expect(lines).toEqual(['✖ one on default: TypeError: thrown', '✖ two on default: TypeError: rejected']);
  });

  it('remembers a bounded number of sources: channels may be named after users', () => {
    for (let user = 0; user < 5000; user += 1) faults.report(`listener of "user-${user}"`, 'x');
    faults.report('listener of "user-4999"', 'x');

    expect(lines).toHaveLength(5000);
    expect((faults as unknown as { sources: Map<string, unknown> }).sources.size).toBe(1000);
  });
});
