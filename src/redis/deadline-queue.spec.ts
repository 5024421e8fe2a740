import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { DeadlineQueue } from './deadline-queue.js';

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['setImmediate'] });
});
afterEach(() => {
  jest.useRealTimers();
});

/** Deadlines expire at the end of the turn in which their time is over. */
async function advance(ms: number): Promise<void> {
  jest.advanceTimersByTime(ms);
  await new Promise((resolve) => setImmediate(resolve));
}

/** A queue that notes the labels of what expired. */
function probe() {
  const queue = new DeadlineQueue();
  const expired: string[] = [];
  const add = (ms: number, label: string) => queue.add(ms, () => void expired.push(label));
  return { queue, expired, add };
}

describe('DeadlineQueue', () => {
  it('expires deadlines in the order of their time, whatever their length', async () => {
    const { expired, add } = probe();
    add(30, 'c');
    add(10, 'a');
    await advance(5);
    add(10, 'b');
    add(30, 'd');

    await advance(4);
    expect(expired).toEqual([]);
    await advance(1);
    expect(expired).toEqual(['a']);
    await advance(5);
    expect(expired).toEqual(['a', 'b']);
    await advance(15);
    expect(expired).toEqual(['a', 'b', 'c']);
    await advance(5);

    expect(expired).toEqual(['a', 'b', 'c', 'd']);
  });

  it.each([
    ['first', 0, ['b', 'c']],
    ['middle', 1, ['a', 'c']],
    ['last', 2, ['a', 'b']],
  ] as const)('forgets the %s one, however often it is cancelled', async (_name, index, left) => {
    const { expired, add } = probe();
    const entries = ['a', 'b', 'c'].map((label) => add(10, label));

    entries[index]!.cancel();
    entries[index]!.cancel();
    await advance(20);
    entries[index]!.cancel();

    expect(expired).toEqual(left);
  });

  it('survives a cancel after expiry while others wait in the same lane', async () => {
    const { expired, add } = probe();
    const first = add(10, 'a');
    await advance(10);
    const second = add(10, 'b');
    add(10, 'c');

    first.cancel();
    second.cancel();
    second.cancel();
    await advance(10);

    expect(expired).toEqual(['a', 'c']);
  });

  it('lets a deadline cancel others, and add one, while it expires', async () => {
    const { queue, expired, add } = probe();
    queue.add(10, () => {
      expired.push('a');
      sibling.cancel();
      add(10, 'd');
    });
    const sibling = add(10, 'b');
    add(10, 'c');

    await advance(10);
    expect(expired).toEqual(['a', 'c']);
    expect(jest.getTimerCount()).toBe(1);
    await advance(10);

    expect(expired).toEqual(['a', 'c', 'd']);
  });

  it('needs one timer for a thousand calls of one length, and none when all have ended', async () => {
    const { add } = probe();

    const entries = Array.from({ length: 1000 }, (_, index) => add(50, `${index}`));
    expect(jest.getTimerCount()).toBe(1);
    for (const entry of entries) entry.cancel();
    await advance(50);

    expect(jest.getTimerCount()).toBe(0);
  });

  it('forgets lengths that are not in use: a caller may compute them', async () => {
    const { queue, add } = probe();
    for (let ms = 1; ms <= 500; ms += 1) add(ms / 3, 'x').cancel();

    await advance(500);

    expect((queue as unknown as { lanes: Map<number, unknown> }).lanes.size).toBe(0);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('uses a length again after it had been forgotten', async () => {
    const { expired, add } = probe();
    add(10, 'a');
    await advance(100);

    add(10, 'b');
    await advance(10);

    expect(expired).toEqual(['a', 'b']);
  });

  it('expires everything at once on request, and nothing twice', async () => {
    const { queue, expired, add } = probe();
    add(10, 'a');
    add(10_000, 'b');
    add(Infinity, 'c');
    add(10_000, 'd').cancel();

    queue.expireAll();
    queue.expireAll();
    await advance(20_000);

    expect(expired).toEqual(['a', 'b', 'c']);
  });

  it.each([0, -5, NaN])('expires a length of %p at the next turn', async (ms) => {
    const { expired, add } = probe();

    add(ms, 'a');
    expect(expired).toEqual([]);
    await advance(2);

    expect(expired).toEqual(['a']);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('reaches a deadline that is longer than a timer of Node', async () => {
    const { expired, add } = probe();
    const month = 30 * 86_400_000;

    add(month, 'a');
    await advance(month - 1);
    expect(expired).toEqual([]);
    await advance(1);

    expect(expired).toEqual(['a']);
  });

  it('does not keep the process alive, and expires in real time', async () => {
    jest.useRealTimers();
    const queue = new DeadlineQueue();
    const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

    queue.add(60_000, () => undefined);
    expect(process.getActiveResourcesInfo().filter((name) => name === 'Timeout')).toHaveLength(before);

    const startedMs = performance.now();
    const keepAlive = setTimeout(() => undefined, 5000);
    await new Promise<void>((resolve) => queue.add(10, () => resolve()));
    clearTimeout(keepAlive);
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(10);
  });
});
