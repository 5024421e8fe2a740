import { describe, expect, it } from '@jest/globals';
import { resolveRedisHealthOptions } from './health.options.js';

describe('resolveRedisHealthOptions', () => {
  it('fills in the defaults', () => {
    const defaults = { connection: 'default', pingTimeoutMs: 500, cacheForMs: 250 };

    expect(resolveRedisHealthOptions()).toEqual(defaults);
    expect(resolveRedisHealthOptions({ pingTimeout: undefined })).toEqual(defaults);
  });

  it('accepts no sharing of results, but no ping without time', () => {
    expect(resolveRedisHealthOptions({ cacheFor: 0 }).cacheForMs).toBe(0);
    expect(() => resolveRedisHealthOptions({ pingTimeout: 0 })).toThrow(/"pingTimeout"/);
  });

  it('reports every fault at once', () => {
    expect(() => resolveRedisHealthOptions({ connection: '', pingTimeout: '1h', cacheFor: -1 })).toThrow(
      /3 configuration faults/,
    );
  });
});
