import { describe, expect, it } from '@jest/globals';
import { isCritical, resolveRedisHealthOptions } from './health.options.js';

describe('resolveRedisHealthOptions', () => {
  it('fills in the defaults', () => {
    const defaults = {
      connection: 'default',
      critical: ['default'],
      pingTimeoutMs: 500,
      cacheForMs: 250,
      factsForMs: 5000,
      connectionBudget: 16,
      thresholds: {
        replicationLagMs: 15_000,
        replicationLagBytes: 16_777_216,
        minReplicas: 0,
        memory: 0.9,
        evictionsPerMinute: undefined,
        rejectionsPerMinute: 0,
        clients: 0.9,
      },
    };

    expect(resolveRedisHealthOptions()).toEqual(defaults);
    expect(resolveRedisHealthOptions({ pingTimeout: undefined, thresholds: { memory: undefined } })).toEqual(
      defaults,
    );
  });

  it('accepts no sharing of results, but no ping without time', () => {
    expect(resolveRedisHealthOptions({ cacheFor: 0 }).cacheForMs).toBe(0);
    expect(() => resolveRedisHealthOptions({ pingTimeout: 0 })).toThrow(/"pingTimeout"/);
  });

  it('reports every fault at once', () => {
    const thresholds = { memory: 2, clients: 0, minReplicas: -1, evictionsPerMinute: 1.5 };

    expect(() =>
      resolveRedisHealthOptions({ connection: '', pingTimeout: '1h', cacheFor: -1, thresholds }),
    ).toThrow(/7 configuration faults/);
    expect(() => resolveRedisHealthOptions({ critical: 'cache' as never, connectionBudget: 0 })).toThrow(
      /2 configuration faults/,
    );
  });

  it('takes limits away with Infinity', () => {
    const { thresholds, connectionBudget } = resolveRedisHealthOptions({
      connectionBudget: Infinity,
      thresholds: { evictionsPerMinute: Infinity },
    });

    expect([thresholds.evictionsPerMinute, connectionBudget]).toEqual([Infinity, Infinity]);
  });
});

describe('isCritical', () => {
  it('is the checked connection unless told otherwise', () => {
    const names = ['default', 'jobs', 'cache'];
    const critical = (options: Parameters<typeof resolveRedisHealthOptions>[0]) =>
      names.filter((name) => isCritical(resolveRedisHealthOptions(options), name));

    expect(critical({})).toEqual(['default']);
    expect(critical({ connection: 'jobs' })).toEqual(['jobs']);
    expect(critical({ critical: ['default', 'jobs'] })).toEqual(['default', 'jobs']);
    expect(critical({ critical: true })).toEqual(names);
    expect(critical({ critical: false })).toEqual([]);
  });
});
