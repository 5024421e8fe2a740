import { describe, expect, it } from '@jest/globals';
import { ConfigurationError } from '../common/index.js';
import { assertCall, resolvePolicy, type Policy } from './policy.js';
import { resolveRateLimitOptions, type RateLimitModuleOptions } from './rate-limit.options.js';

const BURST: Policy = { name: 'burst', limit: 10, window: '1s' };

describe('resolveRateLimitOptions', () => {
  it('fills in the defaults', () => {
    expect(resolveRateLimitOptions()).toEqual({
      connection: undefined,
      timeoutMs: 50,
      onError: 'open',
      ipv6Prefix: 64,
      policies: new Map(),
      defaultPolicies: [],
    });
  });

  it('finds default policies by name', () => {
    const { defaultPolicies } = resolveRateLimitOptions({ policies: [BURST], defaultPolicies: ['burst'] });

    expect(defaultPolicies).toEqual([BURST]);
  });

  it.each<[string, unknown, RegExp]>([
    ['a timeout of 0', { timeout: 0 }, /timeout/],
    ['an unknown onError', { onError: 'maybe' }, /onError.*"open" or "closed"/],
    ['an IPv6 prefix of 129', { ipv6Prefix: 129 }, /ipv6Prefix.*32 to 128/],
    ['two policies of one name', { policies: [BURST, BURST] }, /two policies named "burst"/],
    ['an unknown default', { policies: [BURST], defaultPolicies: ['bust'] }, /"bust"; known are: "burst"/],
    ['two defaults of one name', { defaultPolicies: [BURST, BURST] }, /two policies named/],
    ['a limit of 0', { policies: [{ ...BURST, limit: 0 }] }, /"burst" has limit 0/],
    ['a fractional limit', { policies: [{ ...BURST, limit: 1.5 }] }, /whole number/],
    ['a limit that is NaN', { policies: [{ ...BURST, limit: Number.NaN }] }, /whole number/],
    ['a limit above the counters', { policies: [{ ...BURST, limit: 1e9 + 1 }] }, /1000000000/],
    ['a window over a day', { policies: [{ ...BURST, window: '2d' }] }, /burst\.window/],
    ['no window', { policies: [{ name: 'burst', limit: 1 }] }, /burst\.window/],
    ['another algorithm', { policies: [{ ...BURST, algorithm: 'fixed' }] }, /algorithm "fixed"/],
    ['a name with a colon', { policies: [{ ...BURST, name: 'a:b' }] }, /no usable name/],
    ['no name', { policies: [{ limit: 1, window: 1 }] }, /no usable name/],
    [
      'a key that is a header name',
      { policies: [{ ...BURST, key: 'x-api-key' }] },
      /give "ip" or a function/,
    ],
    ['an unknown scope', { policies: [{ ...BURST, scope: 'app' }] }, /scope "app"/],
  ])('refuses %s', (_what, options, message) => {
    expect(() => resolveRateLimitOptions(options as RateLimitModuleOptions)).toThrow(ConfigurationError);
    expect(() => resolveRateLimitOptions(options as RateLimitModuleOptions)).toThrow(message);
  });
});

describe('assertCall', () => {
  const policy = resolvePolicy(BURST, 'open');

  it.each([0, -1, 1.5, Number.NaN, Infinity, '1' as unknown as number])('refuses a cost of %s', (cost) => {
    expect(() => assertCall([policy], cost)).toThrow(/cost/);
  });

  it('refuses a cost above the limit, which no wait would let through', () => {
    expect(() => assertCall([policy], 10)).not.toThrow();
    expect(() => assertCall([policy], 11)).toThrow(/above the limit 10 of policy "burst"/);
  });

  it('refuses none, too many, and two of one name', () => {
    const many = Array.from({ length: 17 }, (_, index) => ({ ...policy, counter: `p${index}` }));

    expect(() => assertCall([], 1)).toThrow(/0 policies/);
    expect(() => assertCall(many, 1)).toThrow(/17 policies/);
    expect(() => assertCall([policy, policy], 1)).toThrow(/same name/);
  });
});
