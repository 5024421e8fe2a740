import { describe, expect, it } from '@jest/globals';
import { resolveCacheOptions, type CacheOptions } from './cache.options.js';
import { CACHE_ENTRY_DEFAULTS } from './entry.options.js';

describe('resolveCacheOptions', () => {
  it('fills in the defaults', () => {
    expect(resolveCacheOptions()).toEqual({
      connection: 'default',
      namespace: 'default',
      entry: CACHE_ENTRY_DEFAULTS,
      version: 0,
      codec: undefined,
      memory: { maxEntries: 10_000, maxBytes: 67_108_864, ttlMs: 300_000, freeze: true },
      coherence: 'auto',
      tagCheck: 'server',
      buckets: undefined,
      compression: undefined,
      maxDecompressedBytes: 67_108_864,
    });
    expect(resolveCacheOptions({ memory: false }).memory).toBeUndefined();
  });

  it('takes tiers and durations', () => {
    expect(resolveCacheOptions({ ttl: 'short', timeout: '1s' }).entry).toMatchObject({
      ttlMs: 30_000,
      timeoutMs: 1000,
    });
    expect(resolveCacheOptions({ ttl: '1d' }).entry.ttlMs).toBe(86_400_000);
  });

  it('reports every fault at once', () => {
    const input = {
      connection: '',
      ttl: 'forever',
      namespace: 7,
      version: -1,
      codec: {},
      memory: { maxEntries: 0 },
      coherence: 'maybe',
      tagCheck: 'never',
      buckets: 0,
      compression: { threshold: 1 },
    } as unknown as CacheOptions;
    let faults: readonly string[] = [];

    try {
      resolveCacheOptions(input);
    } catch (error) {
      faults = (error as { faults: readonly string[] }).faults;
    }

    expect(faults).toHaveLength(10);
    expect(faults.join()).toMatch(
      /"connection".*"namespace".*"ttl".*"version".*"codec".*"memory.maxEntries".*"coherence"/,
    );
  });
});
