import { describe, expect, it } from '@jest/globals';
import { QUEUE_DEFAULTS, resolveQueueOptions, type QueueModuleOptions } from './queue.options.js';

describe('resolveQueueOptions', () => {
  it('completes what is missing or undefined', () => {
    const expected = {
      connection: 'default',
      role: 'both',
      sweepIntervalMs: 600_000,
      telemetry: undefined,
      addTimeoutMs: 1000,
      keepCompletedMs: 86_400_000,
      keepFailedMs: 604_800_000,
      attempts: 3,
      backoffMs: 1000,
    };

    expect(resolveQueueOptions()).toEqual(expected);
    expect(resolveQueueOptions({ role: undefined, attempts: undefined, addTimeout: undefined })).toEqual(
      expected,
    );
  });

  it('takes what is given', () => {
    const options = resolveQueueOptions({
      connection: 'jobs',
      role: 'worker',
      addTimeout: '60s',
      keepCompleted: '1s',
      keepFailed: 1000,
      attempts: 1,
      backoff: 1,
    });

    expect(options).toEqual({
      connection: 'jobs',
      role: 'worker',
      sweepIntervalMs: 600_000,
      telemetry: undefined,
      addTimeoutMs: 60_000,
      keepCompletedMs: 1000,
      keepFailedMs: 1000,
      attempts: 1,
      backoffMs: 1,
    });
    expect(Object.isFrozen(options)).toBe(true);
    expect(Object.isFrozen(QUEUE_DEFAULTS)).toBe(true);
  });

  it.each<[string, object]>([
    ['queue.role', { role: 'consumer' }],
    ['queue.role', { role: null }],
    ['queue.role', { role: 'Worker' }],
    ['queue.attempts', { attempts: 0 }],
    ['queue.attempts', { attempts: 1.5 }],
    ['queue.attempts', { attempts: NaN }],
    ['queue.attempts', { attempts: Infinity }],
    ['queue.attempts', { attempts: '3' }],
    ['queue.attempts', { attempts: null }],
    ['queue.addTimeout', { addTimeout: 0 }],
    ['queue.addTimeout', { addTimeout: '61s' }],
    ['queue.addTimeout', { addTimeout: null }],
    ['queue.keepCompleted', { keepCompleted: 999 }],
    ['queue.keepFailed', { keepFailed: 'forever' }],
    ['queue.backoff', { backoff: 0 }],
  ])('names %s when it refuses %p', (option, input) => {
    expect(() => resolveQueueOptions(input as QueueModuleOptions)).toThrow(
      expect.objectContaining({ code: 'ERR_CONFIGURATION', message: expect.stringContaining(option) }),
    );
  });
});
