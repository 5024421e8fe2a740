import { describe, expect, it } from '@jest/globals';
import { jsonCodec } from '../common/index.js';
import { resolveCacheOptions, type CacheOptions } from './cache.options.js';

describe('resolveCacheOptions', () => {
  it('fills in the defaults', () => {
    expect(resolveCacheOptions()).toEqual({
      connection: 'default',
      ttlMs: 300_000,
      timeoutMs: 250,
      namespace: 'default',
      codec: jsonCodec,
    });
  });

  it('takes tiers and durations', () => {
    expect(resolveCacheOptions({ ttl: 'short', timeout: '1s' })).toMatchObject({
      ttlMs: 30_000,
      timeoutMs: 1000,
    });
    expect(resolveCacheOptions({ ttl: '1d' }).ttlMs).toBe(86_400_000);
  });

  it('reports every fault at once', () => {
    const input = {
      connection: '',
      ttl: 'forever',
      timeout: 0,
      namespace: 7,
      codec: {},
    } as unknown as CacheOptions;
    let faults: readonly string[] = [];

    try {
      resolveCacheOptions(input);
    } catch (error) {
      faults = (error as { faults: readonly string[] }).faults;
    }

    expect(faults).toHaveLength(5);
    expect(faults.join()).toMatch(/"connection".*"ttl".*"timeout".*"namespace".*"codec"/);
  });
});
