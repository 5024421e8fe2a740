import { describe, expect, it } from '@jest/globals';
import { parseList } from 'structured-headers';
import { mergeDecisions, OPEN_DECISION, toDecision, type RateLimitDecision } from './decision.js';
import { PolicySet } from './policy-set.js';
import { toProblem } from './problem.js';
import { RateLimitExceededError, RateLimitUnavailableError } from './rate-limit.errors.js';
import { rateLimitFields } from './rate-limit.headers.js';
import { resolvePolicy, type ResolvedPolicy } from './resolved-policy.js';

const burst = resolvePolicy({ name: 'burst', limit: 10, window: '100ms' }, 'open');
const hour = resolvePolicy({ name: 'hour', limit: 1000, window: '1h' }, 'open');

/** A decision of the server; times in milliseconds: allowed, then per policy remaining, reset, wait. */
function decide(
  policies: readonly ResolvedPolicy[],
  [allowed = 0, ...states]: readonly number[],
): RateLimitDecision {
  const reply = [allowed, 0, ...states.map((value, index) => (index % 3 === 0 ? value : value * 1000))];
  return toDecision([{ identity: 'id', set: new PolicySet(policies), cost: 1 }], reply, 'redis', true);
}

const ALL = { fields: 'all', legacy: false } as const;

describe('rateLimitFields', () => {
  it('tells quota, window, remaining and seconds, rounded up', () => {
    const decision = decide([burst, hour], [1, 9, 101, 0, 812, 1_729_001, 0]);

    expect(rateLimitFields(decision, ALL)).toEqual([
      ['RateLimit-Policy', '"burst";q=10, "hour";q=1000;w=3600'],
      ['RateLimit', '"burst";r=9;t=1, "hour";r=812;t=1730'],
    ]);
  });

  it('adds Retry-After to a refusal, never before the t of a violated policy', () => {
    const decision = decide([burst, hour], [0, 5, 101, 0, 0, 3_700_000, 2001]);

    const fields = new Map(rateLimitFields(decision, ALL));

    expect(decision.violated).toEqual(['hour']);
    expect(fields.get('Retry-After')).toBe('3');
    const states = parseList(fields.get('RateLimit')!).map(([, parameters]) => parameters.get('t'));
    expect(states).toEqual([1, 3]);
  });

  it('never sends a Retry-After below one second', () => {
    expect(new Map(rateLimitFields(decide([burst], [0, 0, 9, 1]), ALL)).get('Retry-After')).toBe('1');
  });

  it('tells the tightest policy alone, and of a refusal those that refuse', () => {
    const tightest = { fields: 'tightest', legacy: false } as const;
    const field = (decision: RateLimitDecision) =>
      new Map(rateLimitFields(decision, tightest)).get('RateLimit');

    expect(field(decide([burst, hour], [1, 9, 101, 0, 812, 1_729_001, 0]))).toBe('"burst";r=9;t=1');
    expect(field(decide([burst, hour], [1, 9, 101, 0, 8, 1_729_001, 0]))).toBe('"hour";r=8;t=1730');
    expect(field(decide([burst, hour], [0, 0, 101, 0, 0, 3_700_000, 2001]))).toBe('"hour";r=0;t=3');
  });

  it('sends the old fields besides or instead, for the tightest policy', () => {
    const decision = decide([burst, hour], [1, 9, 101, 0, 8, 1_729_001, 0]);
    const old = [
      ['X-RateLimit-Limit', '1000'],
      ['X-RateLimit-Remaining', '8'],
      ['X-RateLimit-Reset', '1730'],
    ];

    expect(rateLimitFields(decision, { fields: 'tightest', legacy: true }).slice(2)).toEqual(old);
    expect(rateLimitFields(decision, { fields: false, legacy: true })).toEqual(old);
    expect(rateLimitFields(decision, { fields: false, legacy: false })).toEqual([]);
  });

  it('always sends Retry-After with a refusal', () => {
    const refusal = decide([burst], [0, 0, 9, 1]);

    expect(rateLimitFields(refusal, { fields: false, legacy: false })).toEqual([['Retry-After', '1']]);
  });

  it('marks what this process decided alone, and leaves out policies that only watch', () => {
    const decision: RateLimitDecision = {
      ...decide([burst, hour], [1, 9, 101, 0, 8, 1000, 0]),
      source: 'local',
    };
    const fields = rateLimitFields(decision, ALL, new Set(['hour']));

    expect(fields).toEqual([
      ['RateLimit-Policy', '"burst";q=10'],
      ['RateLimit', '"burst";r=9;t=1;local'],
    ]);
    expect(parseList(fields[1]![1])[0]?.[1].get('local')).toBe(true);
  });

  it('says nothing about a decision made without the server', () => {
    expect(rateLimitFields(OPEN_DECISION, ALL)).toEqual([]);
  });
});

describe('mergeDecisions', () => {
  it('is a refusal when the last decision is one, and keeps every state', () => {
    const merged = mergeDecisions([decide([burst], [1, 9, 100, 0]), decide([hour], [0, 0, 900, 800])]);

    expect(merged).toMatchObject({ allowed: false, violated: ['hour'], retryAfterMs: 800, source: 'redis' });
    expect(merged.policies.map(({ name }) => name)).toEqual(['burst', 'hour']);
  });
});

describe('toProblem', () => {
  it('describes an exceeded quota', () => {
    const error = new RateLimitExceededError(decide([burst], [0, 0, 900, 1200]));

    expect(error.message).toBe('Rate limit exceeded: "burst"; retry in 1200 ms');
    expect(toProblem(error)).toEqual({
      type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
      title: 'The quota for these requests is used up',
      status: 429,
      detail: 'Rate limit "burst" exceeded; retry in 2 s',
      'violated-policies': ['burst'],
    });
  });

  it('describes a missing decision', () => {
    expect(toProblem(new RateLimitUnavailableError(['hour']))).toMatchObject({
      type: 'https://iana.org/assignments/http-problem-types#temporary-reduced-capacity',
      status: 503,
      'violated-policies': ['hour'],
    });
  });
});
