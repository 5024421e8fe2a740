import { beforeAll, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import type { Policy } from 'rednest/rate-limit';
import type { Demand } from '../../../src/rate-limit/decision.js';
import { PolicySet } from '../../../src/rate-limit/policy-set.js';
import { resolvePolicy } from '../../../src/rate-limit/resolved-policy.js';
import { uniquePrefix } from '../prefix.js';
import { modelOf, type State } from './model.js';
import type { Subject } from './subjects.js';

/** A moment of today in microseconds: as many digits as the real clock has. */
const EPOCH_US = 1_790_000_000_123_456;

/** `gcra` rounds to nanoseconds, and the time it tells to microseconds. */
const TOLERANCE_US = 2;

/** One thing that happens, `afterShare` of a window (or exactly the last wait) later. */
interface Step {
  readonly what: 'consume' | 'peek' | 'penalize' | 'reward' | 'refund' | 'reset';
  readonly after: number | 'wait';
  readonly share: number;
}

const ALGORITHMS: readonly (readonly [name: string, policy: Partial<Policy>])[] = [
  ['sliding', { algorithm: 'sliding' }],
  ['sliding, precision 5', { algorithm: 'sliding', precision: 5 }],
  ['sliding-log', { algorithm: 'sliding-log' }],
  ['fixed', { algorithm: 'fixed' }],
  ['fixed, aligned', { algorithm: 'fixed', align: 'utc' }],
  ['gcra', { algorithm: 'gcra' }],
  ['gcra, paced', { algorithm: 'gcra', burst: 1 }],
];

const LIMITS = [1, 3, 20, 100, 300, 1000, 70_000, 1_000_000_000];
const WINDOWS = [1, 7, 100, 1000, 60_000, 86_400_000];

const anyPolicy = (template: Partial<Policy>): fc.Arbitrary<Policy> =>
  fc
    .record({ limit: fc.constantFrom(...LIMITS), window: fc.constantFrom(...WINDOWS) })
    .filter(({ limit, window }) => {
      if (template.algorithm === 'sliding-log') return limit <= 1000;
      return template.algorithm !== 'gcra' || limit <= window * 1_000_000;
    })
    .map((limits) => ({ name: 'p', ...limits, ...template }));

const anyStep: fc.Arbitrary<Step> = fc.record({
  what: fc.oneof(
    { weight: 12, arbitrary: fc.constant('consume' as const) },
    { weight: 1, arbitrary: fc.constantFrom('peek', 'penalize', 'reward', 'refund', 'reset') },
  ),
  after: fc.oneof(
    fc.constant(0),
    fc.constant('wait' as const),
    fc.double({ min: 0, max: 0.2, noNaN: true }),
    fc.double({ min: 0, max: 3, noNaN: true }),
  ),
  share: fc.oneof(
    fc.constant(0),
    fc.double({ min: 0, max: 0.3, noNaN: true }),
    fc.double({ min: 0, max: 1, noNaN: true }),
  ),
});

/**
 * What every limiter must do, whichever server or memory holds the counters: answers and counts like the
 * model, under a clock that the test moves.
 */
export function limiterConformance(open: () => Subject | Promise<Subject>): void {
  let subject: Subject;

  beforeAll(async () => {
    subject = await open();
  });

  const check = async (property: fc.IAsyncProperty<unknown>, runs: number): Promise<void> => {
    // A failure prints the seed and the shortest sequence that shows it.
    await fc.assert(property, { numRuns: runs, endOnFailure: false });
  };

  it.each(ALGORITHMS)('%s agrees with the model, also after changes by hand', async (_name, template) => {
    await check(
      fc.asyncProperty(
        anyPolicy(template),
        fc.array(anyStep, { minLength: 1, maxLength: 40 }),
        async (policy, steps) => {
          await runSteps(subject, policy, steps);
        },
      ),
      40,
    );
  });

  it.each(ALGORITHMS)(
    '%s admits no more than it promises in any trailing window',
    async (_name, template) => {
      await check(
        fc.asyncProperty(
          anyPolicy(template),
          fc.array(anyStep, { minLength: 20, maxLength: 60 }),
          async (policy, steps) => {
            await runFlood(subject, policy, steps);
          },
        ),
        20,
      );
    },
  );

  it('takes from all policies or from none, and names each one without room', async () => {
    const named = (name: string): fc.Arbitrary<Policy> =>
      fc
        .constantFrom(...ALGORITHMS)
        .chain(([, template]) => anyPolicy(template).map((policy) => ({ ...policy, name })));
    const three = fc.tuple(named('a'), named('b'), named('c'));
    await check(
      fc.asyncProperty(three, fc.array(anyStep, { minLength: 5, maxLength: 30 }), async (policies, steps) => {
        await runTogether(subject, policies, steps);
      }),
      40,
    );
  });

  it('reserves the next free moments of a paced limit, in order, as far ahead as asked', async () => {
    const demand = demandOf({ name: 'paced', limit: 10, window: 1000, algorithm: 'gcra', burst: 1 });
    const waits: number[] = [];
    for (let call = 0; call < 5; call += 1) {
      const [allowed, , , , waitUs] = await subject.evaluate(EPOCH_US, 'reserve', [demand], 400_000);
      expect(allowed).toBe(1);
      waits.push(waitUs!);
    }

    const tooFar = await subject.evaluate(EPOCH_US, 'reserve', [demand], 400_000);
    const unplanned = await subject.evaluate(EPOCH_US + 400_000, 'consume', [demand], 0);
    const later = await subject.evaluate(EPOCH_US + 500_000, 'consume', [demand], 0);

    expect(waits).toEqual([0, 100_000, 200_000, 300_000, 400_000].map((wait) => expect.closeTo(wait, -1)));
    expect(tooFar[0]).toBe(0);
    expect(tooFar[4]).toBeGreaterThan(400_000);
    expect(unplanned[0]).toBe(0);
    expect(later[0]).toBe(1);
  });

  it('gives a reserved moment back only when nobody holds a later one', async () => {
    const demand = demandOf({ name: 'paced', limit: 10, window: 1000, algorithm: 'gcra', burst: 1 });
    const reserve = (nowUs: number): Promise<number[]> =>
      subject.evaluate(nowUs, 'reserve', [demand], 900_000);
    const waitAfter = async (refunded: number[]): Promise<number> =>
      (await subject.adjust(EPOCH_US + 1, { kind: 'refund', reply: refunded }, [demand]))[4]!;
    const replies: number[][] = [];
    for (let call = 0; call < 5; call += 1) replies.push(await reserve(EPOCH_US));
    const [first, , middle, fourth, last] = replies;

    expect(await waitAfter(first!)).toBeCloseTo(499_999, -1);
    expect(await waitAfter(middle!)).toBeCloseTo(499_999, -1);
    expect(await waitAfter(last!)).toBeCloseTo(399_999, -1);
    expect(await waitAfter(fourth!)).toBeCloseTo(299_999, -1);
  });

  it('blocks after refusals, longer each time, and forgets after a while', async () => {
    const block = { for: ['1m', '5m'], after: 2, decay: '10m' } as const;
    const demand = demandOf({ name: 'blocked', limit: 1, window: 1000, block });
    const minute = 60_000_000;
    let nowUs = EPOCH_US;
    const call = async (afterUs: number): Promise<[allowed: number, left: number, waitUs: number]> => {
      nowUs += afterUs;
      const reply = await subject.evaluate(nowUs, 'consume', [demand], 0);
      return [reply[0]!, reply[2]!, reply[4]!];
    };

    expect(await call(0)).toEqual([1, 0, 0]);
    const [refused, left, waitUs] = await call(0);
    expect([refused, left]).toEqual([0, 0]);
    expect(waitUs).toBeLessThanOrEqual(1_050_000);
    expect(await call(0)).toEqual([0, -1, minute]);
    expect(await call(30_000_000)).toEqual([0, -1, minute / 2]);
    expect(await call(30_000_000)).toEqual([1, 0, 0]);
    await call(0);
    expect(await call(0)).toEqual([0, -1, 5 * minute]);
    await call(5 * minute);
    await call(0);
    expect(await call(0)).toEqual([0, -1, 5 * minute]);
    // Ten minutes after the end of the block the first length applies again. A server forgets by the time to
    // live of the key, which this clock does not move; there it is the length of that that matters.
    await subject.adjust(nowUs, { kind: 'reset' }, [demand]);
    await call(16 * minute);
    await call(0);
    expect(await call(0)).toEqual([0, -1, minute]);
  });

  it('blocks by hand, and only that policy', async () => {
    const demand = demandOf({ name: 'manual', limit: 5, window: 1000, block: { for: 'manual' } });
    await subject.adjust(EPOCH_US, { kind: 'block', amountUs: 1_000_000 }, [demand]);

    const during = await subject.evaluate(EPOCH_US + 1, 'consume', [demand], 0);
    const after = await subject.evaluate(EPOCH_US + 1_000_000, 'consume', [demand], 0);

    expect(during).toEqual([0, EPOCH_US + 1, -1, 999_999, 999_999]);
    expect(after.slice(0, 3)).toEqual([1, EPOCH_US + 1_000_000, 4]);
  });

  it('pauses as a block does, and never for shorter than before', async () => {
    const demand = demandOf({ name: 'paused', limit: 5, window: 1000, block: { for: 'manual' } });
    const pause = (amountUs: number) =>
      subject.adjust(EPOCH_US, { kind: 'pause', amountUs }, [demand]).then((reply) => reply.slice(2));

    expect(await pause(2_000_000)).toEqual([-1, 2_000_000, 2_000_000]);
    expect(await pause(1_000_000)).toEqual([-1, 2_000_000, 2_000_000]);
    expect(await pause(3_000_000)).toEqual([-1, 3_000_000, 3_000_000]);
  });

  it('counts in shadow mode and refuses nobody', async () => {
    const shadow = demandOf({ name: 'shadow', limit: 1, window: 1000, shadow: true });

    const first = await subject.evaluate(EPOCH_US, 'consume', [shadow], 0);
    const second = await subject.evaluate(EPOCH_US, 'consume', [shadow], 0);

    expect([first[0], first[4]]).toEqual([1, 0]);
    expect(second[0]).toBe(1);
    expect(second[4]).toBeGreaterThan(0);
  });

  it('never has more slots taken than there are, and gives those of the dead back', async () => {
    const step = fc.record({
      token: fc.integer({ min: 0, max: 5 }).map(String),
      afterUs: fc.constantFrom(0, 1, 400_000, 1_000_000),
    });
    await check(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
        const key = uniquePrefix();
        const ends = new Map<string, number>();
        let nowUs = EPOCH_US;
        for (const { token, afterUs } of steps) {
          nowUs += afterUs;
          for (const [other, endsUs] of ends) if (endsUs <= nowUs) ends.delete(other);
          const expected = ends.has(token) || ends.size < 3;
          const granted = await subject.hold(nowUs, key, token, 3, 1_000_000);
          expect(granted).toBe(expected);
          if (granted) ends.set(token, nowUs + 1_000_000);
        }
      }),
      40,
    );
  });

  it('leaves a slot to its holder for its own lease, also when others ask for shorter ones', async () => {
    const key = uniquePrefix();
    const [hour, second] = [3_600_000_000, 1_000_000];
    expect(await subject.hold(EPOCH_US, key, 'long', 1, hour)).toBe(true);

    expect(await subject.hold(EPOCH_US + 1, key, 'short', 1, second)).toBe(false);
    expect(await subject.hold(EPOCH_US + 2 * second, key, 'short', 1, second)).toBe(false);
    expect(await subject.hold(EPOCH_US + hour, key, 'short', 1, second)).toBe(true);
  });
}

/** A demand of an identity that nothing was counted for. */
export function demandOf(policy: Policy, cost = 1): Demand {
  return { identity: uniquePrefix(), set: new PolicySet([resolvePolicy(policy, 'local')]), cost };
}

function costOf(step: Step, capacity: number): number {
  return 1 + Math.floor(step.share * (capacity - 1));
}

async function runSteps(subject: Subject, policy: Policy, steps: readonly Step[]): Promise<void> {
  const demand = demandOf(policy);
  const resolved = demand.set.policies[0]!;
  let model = modelOf(resolved);
  const receipts: { reply: number[]; cost: number }[] = [];
  let nowUs = EPOCH_US;
  let lastWaitUs = 0;
  let resetAtUs = 0;
  for (const step of steps) {
    nowUs += step.after === 'wait' ? lastWaitUs : Math.floor(step.after * resolved.windowUs);
    const cost = costOf(step, resolved.capacity);
    const own = { ...demand, cost };
    switch (step.what) {
      case 'consume': {
        const before = model.judge(cost, nowUs);
        const reply = await subject.evaluate(nowUs, 'consume', [own], 0);
        expectVerdict(reply, before, resolved.algorithm);
        if (reply[0] === 1) {
          model.take(cost, nowUs);
          receipts.push({ reply, cost });
        } else lastWaitUs = reply[4]!;
        const after = model.judge(cost, nowUs);
        expectState(reply, reply[0] === 1 ? { ...after, waitUs: 0 } : before, resolved.algorithm);
        break;
      }
      case 'peek':
        expectState(
          await subject.evaluate(nowUs, 'peek', [own], 0),
          model.judge(cost, nowUs),
          resolved.algorithm,
        );
        break;
      case 'penalize':
      case 'reward':
        model[step.what](cost, nowUs);
        expectState(
          await subject.adjust(nowUs, { kind: step.what, amount: cost }, [demand]),
          model.judge(1, nowUs),
          resolved.algorithm,
        );
        break;
      case 'refund': {
        const receipt = receipts.splice(Math.floor(step.share * receipts.length), 1)[0];
        if (!receipt) break;
        const taken = { cost: receipt.cost, atUs: receipt.reply[1]!, resetUs: receipt.reply[3]! };
        if (taken.atUs >= resetAtUs) model.refund(taken, nowUs);
        const reply = await subject.adjust(nowUs, { kind: 'refund', reply: receipt.reply }, [
          { ...demand, cost: receipt.cost },
        ]);
        expectState(reply, model.judge(1, nowUs), resolved.algorithm);
        break;
      }
      case 'reset':
        model = modelOf(resolved);
        resetAtUs = nowUs;
        await subject.adjust(nowUs, { kind: 'reset' }, [demand]);
        break;
    }
  }
}

/** Where the model and a rounded clock meet within a tick, either answer is right. */
function expectVerdict(reply: readonly number[], { waitUs }: State, algorithm: string): void {
  const allowed = reply[0] === 1;
  const aheadUs = allowed ? waitUs : reply[4]!;
  if (algorithm === 'gcra' && aheadUs > 0 && aheadUs <= TOLERANCE_US) return;
  expect(allowed).toBe(waitUs === 0);
}

function expectState(reply: number[], state: State, algorithm: string): void {
  const [, , left, resetUs, waitUs] = reply;
  if (algorithm !== 'gcra') {
    expect({ left, resetUs, waitUs }).toEqual(state);
    return;
  }
  // At high rates a microsecond is worth many units.
  expect(Math.abs(resetUs! - state.resetUs)).toBeLessThanOrEqual(TOLERANCE_US);
  expect(Math.abs(waitUs! - state.waitUs)).toBeLessThanOrEqual(TOLERANCE_US);
  expect(Math.abs(left! - state.left)).toBeLessThanOrEqual(Math.max(1, state.left * 1e-4 + 1000));
}

async function runFlood(subject: Subject, policy: Policy, steps: readonly Step[]): Promise<void> {
  const demand = demandOf(policy);
  const { windowUs, capacity, limit, algorithm } = demand.set.policies[0]!;
  const admitted: { atUs: number; cost: number }[] = [];
  let nowUs = EPOCH_US;
  let lastWaitUs = 0;
  for (const step of steps) {
    nowUs += step.after === 'wait' ? lastWaitUs : Math.floor(step.after * windowUs);
    const cost = costOf(step, capacity);
    const reply = await subject.evaluate(nowUs, 'consume', [{ ...demand, cost }], 0);
    if (reply[0] === 1) admitted.push({ atUs: nowUs, cost });
    else lastWaitUs = reply[4]!;
  }
  const promised = { sliding: limit, 'sliding-log': limit, fixed: 2 * limit, gcra: capacity + limit + 1 };
  expect(worstWindow(admitted, windowUs)).toBeLessThanOrEqual(promised[algorithm]);
}

/** Most units admitted in any span of one window; spans that matter end at an admission. */
export function worstWindow(admitted: readonly { atUs: number; cost: number }[], windowUs: number): number {
  let worst = 0;
  let first = 0;
  let sum = 0;
  for (const { atUs, cost } of admitted) {
    sum += cost;
    while (admitted[first]!.atUs <= atUs - windowUs) sum -= admitted[first++]!.cost;
    worst = Math.max(worst, sum);
  }
  return worst;
}

async function runTogether(subject: Subject, policies: Policy[], steps: readonly Step[]): Promise<void> {
  const resolved = policies.map((policy) => resolvePolicy(policy, 'local'));
  const set = new PolicySet(resolved);
  const identity = uniquePrefix();
  const models = resolved.map(modelOf);
  let nowUs = EPOCH_US;
  for (const step of steps) {
    nowUs += step.after === 'wait' ? 1 : Math.floor(step.after * resolved[0]!.windowUs);
    const cost = costOf(step, set.capacity);
    const before = models.map((model) => model.judge(cost, nowUs));
    const reply = await subject.evaluate(nowUs, 'consume', [{ identity, set, cost }], 0);
    const allowed = reply[0] === 1;
    const isClose = before.some(({ waitUs }, index) => {
      const aheadUs = allowed ? waitUs : reply[4 + index * 3]!;
      return aheadUs > 0 && aheadUs <= TOLERANCE_US;
    });
    expect(isClose || allowed === before.every(({ waitUs }) => waitUs === 0)).toBe(true);
    if (allowed) for (const model of models) model.take(cost, nowUs);
    for (const [index, model] of models.entries()) {
      const own = [reply[0]!, reply[1]!, ...reply.slice(2 + index * 3, 5 + index * 3)];
      const state = allowed ? { ...model.judge(cost, nowUs), waitUs: 0 } : before[index]!;
      expectState(own, state, resolved[index]!.algorithm);
    }
  }
}
