import { describe, expect, it } from '@jest/globals';
import type { Demand } from '../decision.js';
import { PolicySet } from '../policy-set.js';
import { resolvePolicy } from '../resolved-policy.js';
import type { Policy } from '../policy.js';
import { LocalLimiter } from './local-limiter.js';

const NOW_US = 1_790_000_000_000_000;

function demand(policy: Partial<Policy>, cost = 1, identity = 'id'): Demand {
  const resolved = resolvePolicy({ name: 'p', limit: 10, window: '1h', ...policy }, 'local');
  return { identity, set: new PolicySet([resolved]), cost };
}

describe('LocalLimiter', () => {
  it.each([
    [1, 10],
    [3, 3],
    [4, 2],
    [100, 1],
  ])('applies the share of one of %i instances: %i of 10', (instances, share) => {
    for (const algorithm of ['sliding', 'sliding-log', 'gcra', 'fixed'] as const) {
      const limiter = new LocalLimiter({ instances, maxCounters: 10 }, () => NOW_US);
      const own = demand({ algorithm });
      let admitted = 0;
      for (let call = 0; call < 12; call += 1) admitted += limiter.evaluate('consume', [own])[0]!;
      expect({ algorithm, admitted }).toEqual({ algorithm, admitted: share });
    }
  });

  it('lets a cost above its share take all of it, and refuses the next', () => {
    const limiter = new LocalLimiter({ instances: 5, maxCounters: 10 }, () => NOW_US);
    const own = demand({}, 8);

    expect(limiter.evaluate('consume', [own]).slice(0, 3)).toEqual([1, NOW_US, 0]);
    expect(limiter.evaluate('consume', [own])[0]).toBe(0);
  });

  it('holds a bounded number of counters', () => {
    const limiter = new LocalLimiter({ instances: 1, maxCounters: 10 }, () => NOW_US);
    for (let id = 0; id < 100; id += 1) limiter.evaluate('consume', [demand({}, 1, `id-${id}`)]);

    expect(limiter.size).toBe(10);
  });

  it('holds as many units of large logs in memory as of small counters', () => {
    const limiter = new LocalLimiter({ instances: 1, maxCounters: 320 }, () => NOW_US);
    const large = { algorithm: 'sliding-log', limit: 1000 } as const;
    for (let id = 0; id < 100; id += 1) limiter.evaluate('consume', [demand(large, 1000, `id-${id}`)]);

    expect(limiter.size).toBe(10);
    // One that is larger than all there may be is kept all the same.
    const small = new LocalLimiter({ instances: 1, maxCounters: 10 }, () => NOW_US);
    expect([1, 2].map(() => small.evaluate('consume', [demand(large, 1000)])[0])).toEqual([1, 0]);
  });

  it('forgets a block after its decay', () => {
    const clock = { us: NOW_US };
    const limiter = new LocalLimiter({ instances: 1, maxCounters: 10 }, () => clock.us);
    const own = demand({ limit: 1, window: '1s', block: { for: ['1m', '5m'], decay: '10m' } });
    const waitAfter = (us: number): number => {
      clock.us += us;
      limiter.evaluate('consume', [own]);
      return limiter.evaluate('consume', [own])[4]!;
    };

    expect(waitAfter(0)).toBe(60_000_000);
    expect(waitAfter(61_000_000)).toBe(300_000_000);
    expect(waitAfter(300_000_000 + 601_000_000)).toBe(60_000_000);
  });
});
