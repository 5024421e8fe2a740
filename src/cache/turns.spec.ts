import { expect, it } from '@jest/globals';
import { Turns } from './turns.js';

it('is one turn until all that has come is handled, and another one after that', async () => {
  const turns = new Turns();
  const first = turns.now;
  await Promise.resolve();
  const inTheSameTurn = turns.now;
  expect(first.endedMs).toBe(Infinity);

  await new Promise((resolve) => setImmediate(resolve));
  const second = turns.now;

  expect(inTheSameTurn).toBe(first);
  expect(first.endedMs).toBeLessThanOrEqual(performance.now());
  expect(second).not.toBe(first);
  expect(second.endedMs).toBe(Infinity);
});
