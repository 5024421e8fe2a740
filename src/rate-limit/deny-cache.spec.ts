import { describe, expect, it } from '@jest/globals';
import { toDecision, type Demand, type RateLimitDecision } from './decision.js';
import { DenyCache } from './deny-cache.js';
import { PolicySet } from './policy-set.js';
import type { Policy } from './policy.js';
import { resolvePolicy } from './resolved-policy.js';

const LONG = 60_000_000;

function demand(identity: string, cost = 1, policy: Partial<Policy> = {}): Demand {
  const resolved = resolvePolicy({ name: 'p', limit: 10, window: '1m', ...policy }, 'local');
  return { identity, set: new PolicySet([resolved]), cost };
}

/** A refusal of the server: remaining, reset and wait in microseconds, per policy. */
function refusal(demands: readonly Demand[], ...states: readonly number[]): RateLimitDecision {
  return toDecision(demands, [0, 0, ...states], 'redis', true);
}

function cache(options = { max: 3, maxAgeMs: 1000 }): { cache: DenyCache; clock: { ms: number } } {
  const clock = { ms: 0 };
  return { cache: new DenyCache(options, { now: () => 0, monotonicMs: () => clock.ms }), clock };
}

describe('DenyCache', () => {
  it('knows a refusal for its cost and above, until it is too old', () => {
    const { cache: denials, clock } = cache();
    const own = [demand('a', 3)];
    denials.remember(own, refusal(own, 2, LONG, LONG));

    clock.ms = 999;
    expect(denials.find([demand('a', 3)])).toMatchObject({
      allowed: false,
      violated: ['p'],
      source: 'deny-cache',
      retryAfterMs: 59_001,
      policies: [{ remaining: 2, waitMs: 59_001, resetMs: 59_001 }],
    });
    expect(denials.find([demand('a', 4)])).toBeDefined();
    expect(denials.find([demand('a', 2)])).toBeUndefined();
    expect(denials.find([demand('b', 3)])).toBeUndefined();
    clock.ms = 1000;
    expect(denials.find([demand('a', 3)])).toBeUndefined();
  });

  it('never outlives the wait that was told', () => {
    const { cache: denials, clock } = cache();
    const own = [demand('a')];
    denials.remember(own, refusal(own, 0, 100_000, 100_000));

    clock.ms = 98;
    expect(denials.find(own)).toBeDefined();
    clock.ms = 99;
    expect(denials.find(own)).toBeUndefined();
  });

  it('does not take one set of policies for another', () => {
    const { cache: denials } = cache();
    const own = [demand('a')];
    denials.remember(own, refusal(own, 0, LONG, LONG));

    expect(denials.find([demand('a', 1, { limit: 11 })])).toBeUndefined();
    expect(denials.find([demand('a', 1, { name: 'q' })])).toBeUndefined();
    expect(denials.find([demand('a', 1)])).toBeDefined();
  });

  it('remembers only those identities of a call that were refused', () => {
    const { cache: denials } = cache();
    const both = [demand('a'), demand('b')];
    denials.remember(both, refusal(both, 5, 0, 0, 0, LONG, LONG));

    expect(denials.find([both[0]!])).toBeUndefined();
    expect(denials.find([both[1]!])).toBeDefined();
    expect(denials.find(both)).toMatchObject({ violated: ['p'], policies: [{ remaining: 0 }] });
  });

  it('remembers nothing about shadows, blocks to come, and waits of a moment', () => {
    const { cache: denials } = cache();
    for (const own of [
      [demand('a', 1, { shadow: true })],
      [demand('b', 1, { block: { for: '1m', after: 2 } })],
    ]) {
      denials.remember(own, refusal(own, 0, LONG, LONG));
      expect(denials.find(own)).toBeUndefined();
    }
    const own = [demand('c')];
    denials.remember(own, refusal(own, 0, 900, 900));
    expect(denials.find(own)).toBeUndefined();
  });

  it('is bounded, and forgets when told to', () => {
    const { cache: denials } = cache();
    for (const id of ['a', 'b', 'c', 'd']) {
      const own = [demand(id)];
      denials.remember(own, refusal(own, 0, LONG, LONG));
    }
    expect(denials.size).toBe(3);
    expect(denials.find([demand('a')])).toBeUndefined();

    denials.forget('b');
    expect(denials.find([demand('b')])).toBeUndefined();
    denials.clear();
    expect(denials.size).toBe(0);
  });
});
