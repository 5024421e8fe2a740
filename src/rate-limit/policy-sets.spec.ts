import { describe, expect, it } from '@jest/globals';
import { eventually } from '../../test/support/eventually.js';
import { PolicySets } from './policy-sets.js';
import type { Policy, PolicyLimits } from './policy.js';

const BURST: Policy = { name: 'burst', limit: 10, window: '1s' };
const HOUR: Policy = { name: 'hour', limit: 100, window: '1h' };

function create(failed: string[] = [], resolveTtlMs = 60_000): PolicySets {
  return new PolicySets({
    onError: 'local',
    resolveTtlMs,
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

  it('asks once for all who want the limits of an identity at the same time', async () => {
    let asked = 0;
    const policy: Policy = { ...BURST, resolve: async () => ({ limit: (asked += 1) }) };
    const sets = create();

    const all = await Promise.all(Array.from({ length: 100 }, async () => sets.get('a', policy)));

    expect(all.map(({ policies }) => policies[0]!.limit)).toEqual(all.map(() => 1));
  });

  it('does not wait for a resolve that never answers, and asks again later', async () => {
    const failed: string[] = [];
    let asked = 0;
    const resolve = (): PolicyLimits | Promise<never> =>
      (asked += 1) === 1 ? { limit: 7 } : new Promise<never>(() => undefined);
    const sets = create(failed, 1);
    const policy: Policy = { ...BURST, resolve };
    await sets.get('a', policy);

    const later = async (): Promise<number> => (await sets.get('a', policy)).policies[0]!.limit;
    await eventually('it is asked again', async () => (await later()) === 7 && asked === 2);
    expect(await later()).toBe(7);
    expect(failed).toEqual(['burst']);
  });

  it('keeps the limits known before when resolve fails, and tells of it once', async () => {
    const failed: string[] = [];
    let asked = 0;
    const resolve = (): PolicyLimits => {
      if ((asked += 1) > 1) throw new Error('no');
      return { limit: 7 };
    };
    const sets = create(failed, 1);
    const policy: Policy = { ...BURST, resolve };

    await eventually('it has failed several times', async () => {
      const sameTime = await Promise.all([sets.get('a', policy), sets.get('a', policy)]);
      for (const { policies } of sameTime) expect(policies[0]!.limit).toBe(7);
      return asked > 4;
    });

    expect(failed).toEqual(['burst']);
  });

  it('answers without a promise for policies that need none', () => {
    expect(create().get('a', [BURST, HOUR])).not.toBeInstanceOf(Promise);
  });
});
