import { describe, expect, it } from '@jest/globals';
import { PolicySets } from './policy-sets.js';
import type { Policy, PolicyLimits } from './policy.js';

const BURST: Policy = { name: 'burst', limit: 10, window: '1s' };
const HOUR: Policy = { name: 'hour', limit: 100, window: '1h' };

function create(failed: string[] = []): PolicySets {
  return new PolicySets({
    onError: 'local',
    resolveTtlMs: 60_000,
    onResolveError: (policy) => failed.push(policy),
  });
}

describe('PolicySets', () => {
  it('checks a policy and a list once', () => {
    const sets = create();
    const list = [BURST, HOUR];

    expect(sets.get('a', BURST)).toBe(sets.get('b', BURST));
    expect(sets.get('a', list)).toBe(sets.get('b', list));
  });

  it('sees that a list was changed', async () => {
    const sets = create();
    const list = [BURST, HOUR];
    const before = await sets.get('a', list);
    list[1] = { ...HOUR, name: 'day' };

    const after = await sets.get('a', list);

    expect(before.policies.map(({ name }) => name)).toEqual(['burst', 'hour']);
    expect(after.policies.map(({ name }) => name)).toEqual(['burst', 'day']);
  });

  it('asks for limits once per identity, and answers at once when it knows them', async () => {
    const asked: unknown[] = [];
    const policy: Policy = {
      ...BURST,
      resolve: (id) => {
        asked.push(id);
        return { limit: 7 };
      },
    };
    const sets = create();

    const first = sets.get('a', policy);
    expect(first).toBeInstanceOf(Promise);
    expect((await first).policies[0]!.limit).toBe(7);
    expect(sets.get('a', policy)).not.toBeInstanceOf(Promise);
    await sets.get(['a', 'b'], policy);

    expect(asked).toEqual(['a', ['a', 'b']]);
  });

  it.each<[string, () => PolicyLimits | undefined | Promise<never>]>([
    [
      'throws',
      () => {
        throw new Error('no');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no'))],
    ['gives limits that cannot be used', () => ({ limit: -1 })],
  ])('keeps the limits of the policy when resolve %s', async (_what, resolve) => {
    const failed: string[] = [];

    const set = await create(failed).get('a', { ...BURST, resolve });

    expect(set.policies[0]!.limit).toBe(10);
    expect(failed).toEqual(['burst']);
  });

  it('answers without a promise for policies that need none', () => {
    expect(create().get('a', [BURST, HOUR])).not.toBeInstanceOf(Promise);
  });
});
