import { describe, expect, it } from '@jest/globals';
import { resolveRedisHealthOptions } from './health.options.js';

describe('resolveRedisHealthOptions', () => {
  it('fills in the defaults', () => {
    const defaults = {
      connection: 'default',
      critical: undefined,
      capabilities: {},
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

  it('refuses criticality that is no map, or said twice', () => {
    expect(() => resolveRedisHealthOptions({ capabilities: { cache: 'yes' as never } })).toThrow(
      /"capabilities" .* give true or false by name/,
    );
    expect(() => resolveRedisHealthOptions({ capabilities: { cache: true }, critical: true })).toThrow(
      /"critical" and "capabilities" .* keep one of them/,
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
