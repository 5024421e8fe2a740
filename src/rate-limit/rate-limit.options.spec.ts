import { describe, expect, it } from '@jest/globals';
import { ConfigurationError } from '../common/index.js';
import { assertPoints, PolicySet } from './policy-set.js';
import type { Policy } from './policy.js';
import { resolveRateLimitOptions, type RateLimitModuleOptions } from './rate-limit.options.js';
import { resolvePolicy } from './resolved-policy.js';

const BURST: Policy = { name: 'burst', limit: 10, window: '1s' };

describe('resolveRateLimitOptions', () => {
  it('fills in the defaults', () => {
    expect(resolveRateLimitOptions()).toEqual({
      connection: undefined,
      timeoutMs: 50,
      onError: 'local',
      instances: 1,
      maxLocalCounters: 50_000,
      denyCache: { max: 10_000, maxAgeMs: 1000, invalidate: true },
      resolveTtlMs: 10_000,
      ipv6Prefix: 64,
      missingAddress: undefined,
      identify: {},
      headers: { fields: 'tightest', legacy: false },
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
    ['an unknown onError', { onError: 'maybe' }, /onError.*"local", "open" or "closed"/],
    ['an IPv6 prefix of 129', { ipv6Prefix: 129 }, /ipv6Prefix.*32 to 128/],
    ['an unknown missingAddress', { missingAddress: 'guess' }, /missingAddress.*"error" or "shared"/],
    ['an identifier that is no function', { identify: { user: 'id' } }, /identify\.user.*function/],
    ['unknown header fields', { headers: { fields: 'some' } }, /headers\.fields.*"tightest", "all" or false/],
    ['legacy fields that are no flag', { headers: { legacy: 1 } }, /headers\.legacy.*true or false/],
    ['two policies of one name', { policies: [BURST, BURST] }, /two policies named "burst"/],
    ['an unknown default', { policies: [BURST], defaultPolicies: ['bust'] }, /"bust"; known are: "burst"/],
    ['two defaults of one name', { defaultPolicies: [BURST, BURST] }, /two policies named/],
    ['a limit of 0', { policies: [{ ...BURST, limit: 0 }] }, /"burst" has limit 0/],
    ['a fractional limit', { policies: [{ ...BURST, limit: 1.5 }] }, /whole number/],
    ['a limit that is NaN', { policies: [{ ...BURST, limit: Number.NaN }] }, /whole number/],
    ['a limit above the counters', { policies: [{ ...BURST, limit: 1e9 + 1 }] }, /1000000000/],
    ['a window over 31 days', { policies: [{ ...BURST, window: '32d' }] }, /burst\.window/],
    ['no window', { policies: [{ name: 'burst', limit: 1 }] }, /burst\.window/],
    [
      'another algorithm',
      { policies: [{ ...BURST, algorithm: 'leaky' }] },
      /algorithm leaky; give "sliding"/,
    ],
    ['a long log', { policies: [{ ...BURST, algorithm: 'sliding-log', limit: 1001 }] }, /from 1 to 1000/],
    ['a burst of another algorithm', { policies: [{ ...BURST, burst: 2 }] }, /burst, which is for .*"gcra"/],
    ['a burst of 0', { policies: [{ ...BURST, algorithm: 'gcra', burst: 0 }] }, /burst 0/],
    [
      'a bucket that takes years to refill',
      { policies: [{ ...BURST, algorithm: 'gcra', burst: 1e9 }] },
      /refills within 31 days/,
    ],
    [
      'a precision that does not divide',
      { policies: [{ ...BURST, precision: 7 }] },
      /precision 7; give 5, 10/,
    ],
    ['a strange alignment', { policies: [{ ...BURST, algorithm: 'fixed', align: 'day' }] }, /align day/],
    ['a block without a length', { policies: [{ ...BURST, block: { for: [] } }] }, /block\.for/],
    ['a block after 0 refusals', { policies: [{ ...BURST, block: { for: 1, after: 0 } }] }, /block\.after 0/],
    ['a shadow that is text', { policies: [{ ...BURST, shadow: 'yes' }] }, /shadow string/],
    ['a resolve that is an object', { policies: [{ ...BURST, resolve: {} }] }, /resolve object/],
    ['0 instances', { instances: 0 }, /"instances" is not usable \(number 0\)/],
    [
      'a deny cache for 0 identities',
      { denyCache: { max: 0 } },
      /"denyCache\.max" is not usable \(number 0\)/,
    ],
    ['a deny cache that keeps for an hour', { denyCache: { maxAge: '1h' } }, /denyCache\.maxAge/],
    ['a name with a colon', { policies: [{ ...BURST, name: 'a:b' }] }, /no usable name/],
    ['no name', { policies: [{ limit: 1, window: 1 }] }, /no usable name/],
    [
      'a key that is a header name',
      { policies: [{ ...BURST, key: 'x-api-key' }] },
      /give "ip", "user", "tenant", "api-key" or a function/,
    ],
    ['an unknown scope', { policies: [{ ...BURST, scope: 'app' }] }, /"app" as scope/],
  ])('refuses %s', (_what, options, message) => {
    expect(() => resolveRateLimitOptions(options as RateLimitModuleOptions)).toThrow(ConfigurationError);
    expect(() => resolveRateLimitOptions(options as RateLimitModuleOptions)).toThrow(message);
  });
});

describe('PolicySet', () => {
  const policy = resolvePolicy(BURST, 'open');
  const set = new PolicySet([policy]);

  it.each([0, -1, 1.5, Number.NaN, Infinity, '1' as unknown as number])('refuses a cost of %s', (cost) => {
    expect(() => set.assertCost(cost)).toThrow(/cost/);
  });

  it('refuses a cost above the limit, which no wait would let through', () => {
    const bucket = resolvePolicy({ ...BURST, algorithm: 'gcra', burst: 3 }, 'open');

    expect(() => set.assertCost(10)).not.toThrow();
    expect(() => set.assertCost(11)).toThrow(/above the limit 10 of policy "burst"/);
    expect(() => new PolicySet([bucket]).assertCost(4)).toThrow(/above the limit 3 of policy "burst"/);
  });

  it('takes costs by name, 1 from those not named', () => {
    const other = resolvePolicy({ ...BURST, name: 'other' }, 'open');
    const both = new PolicySet([policy, other]);

    expect(both.costs({ other: 7 })).toEqual([1, 7]);
    expect(() => both.costs({ othr: 7 })).toThrow(/"othr"/);
  });

  it('refuses none, too many, and two of one name', () => {
    const many = Array.from({ length: 17 }, (_, index) => ({ ...policy, counter: `p${index}` }));

    expect(() => new PolicySet([])).toThrow(/0 policies/);
    expect(() => new PolicySet(many)).toThrow(/17 policies/);
    expect(() => new PolicySet([policy, policy])).toThrow(/same name/);
  });

  it('refuses points that are no whole number from 1 on', () => {
    expect(assertPoints(1)).toBe(1);
    expect(() => assertPoints(0)).toThrow(/points/);
    expect(() => assertPoints(0.5)).toThrow(/points/);
  });
});
