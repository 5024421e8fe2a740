import { describe, expect, it } from '@jest/globals';
import { FencedFlights, type Fence, type Landing } from './fenced-flights.js';

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((settle) => (resolve = settle));
  return { promise, resolve };
}

describe('FencedFlights', () => {
  it('runs one operation for all callers and counts those that joined', async () => {
    const flights = new FencedFlights();
    const landing = deferred<Landing<number>>();
    let runs = 0;

    const results = Array.from({ length: 5 }, () =>
      flights.run('k', () => {
        runs += 1;
        return landing.promise;
      }),
    );
    landing.resolve({ value: 7 });

    expect(await Promise.all(results)).toEqual([7, 7, 7, 7, 7]);
    expect({ runs, joined: flights.joined, size: flights.size }).toEqual({ runs: 1, joined: 4, size: 0 });
  });

  it('starts anew after void, and tells the overtaken operation', async () => {
    const flights = new FencedFlights();
    const first = deferred<Landing<string>>();
    let seen: Fence | undefined;
    const old = flights.run('k', (fence) => {
      seen = fence;
      return first.promise;
    });

    flights.void('k');
    const fresh = flights.run('k', async (fence) => ({ value: fence.isVoid ? 'void' : 'new' }));
    first.resolve({ value: 'old' });

    expect(seen?.isVoid).toBe(true);
    expect(await Promise.all([old, fresh])).toEqual(['old', 'new']);
  });

  it('keeps the fence until the write behind has ended', async () => {
    const flights = new FencedFlights();
    const write = deferred<void>();
    let seen!: Fence;
    await flights.run('k', async (fence) => {
      seen = fence;
      return { value: 1, write: write.promise };
    });

    flights.void('k');

    expect(seen.isVoid).toBe(true);
    write.resolve();
  });

  it('hands an error to everybody and keeps nothing', async () => {
    const flights = new FencedFlights();
    const fail = () => Promise.reject(new Error('no'));

    const results = await Promise.allSettled([flights.run('k', fail), flights.run('k', fail)]);

    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(flights.size).toBe(0);
    expect(await flights.run('k', async () => ({ value: 'again' }))).toBe('again');
  });
});
