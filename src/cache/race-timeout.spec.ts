import { expect, it } from '@jest/globals';
import { raceTimeout, TIMED_OUT } from './race-timeout.js';

const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

it('ends with the time', async () => {
  await expect(raceTimeout(new Promise(() => undefined), 1)).resolves.toBe(TIMED_OUT);
});

it('keeps no process alive', () => {
  const before = timers();

  void raceTimeout(new Promise(() => undefined), 60_000);

  expect(timers()).toBe(before);
});
