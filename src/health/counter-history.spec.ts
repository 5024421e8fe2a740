import { describe, expect, it } from '@jest/globals';
import { CounterHistory } from './counter-history.js';
import { parseInfo } from './server-info.js';

const reading = (evicted: number, rejected = 0, runId = 'a') =>
  parseInfo(`run_id:${runId}\nevicted_keys:${evicted}\nrejected_connections:${rejected}`);

describe('CounterHistory', () => {
  it('counts nothing that happened before the first reading', () => {
    expect(new CounterHistory().add(reading(500, 9), 0)).toEqual({
      evictedKeys: 0,
      rejectedConnections: 0,
      overMs: 0,
    });
  });

  it('counts the last minute', () => {
    const history = new CounterHistory();
    for (let second = 0; second <= 120; second += 5) history.add(reading(second), second * 1000);

    expect(history.add(reading(130, 2), 125_000)).toEqual({
      evictedKeys: 65,
      rejectedConnections: 2,
      overMs: 60_000,
    });
  });

  it('says over what span it counts when it is asked rarely', () => {
    const history = new CounterHistory();
    history.add(reading(0), 0);

    expect(history.add(reading(7), 600_000)).toMatchObject({ evictedKeys: 7, overMs: 600_000 });
    expect(history.add(reading(7), 1_200_000)).toMatchObject({ evictedKeys: 0, overMs: 600_000 });
  });

  it('starts anew with another server process, and when the counters are set back', () => {
    const history = new CounterHistory();
    history.add(reading(50), 0);
    expect(history.serverChangedAtMs).toBeUndefined();

    expect(history.add(reading(3, 0, 'b'), 5_000).evictedKeys).toBe(0);
    expect(history.serverChangedAtMs).toBe(5_000);
    expect(history.add(reading(10, 0, 'b'), 10_000).evictedKeys).toBe(7);
    expect(history.add(reading(0, 0, 'b'), 15_000)).toMatchObject({ evictedKeys: 0, overMs: 0 });
  });
});
