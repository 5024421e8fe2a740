import { describe, expect, it } from '@jest/globals';
import { SingleFlight } from './single-flight.js';

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (e: Error) => void } {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((settle, fail) => {
    resolve = settle;
    reject = fail;
  });
  return { promise, resolve, reject };
}

describe('SingleFlight', () => {
  it('runs one operation for everybody who asks meanwhile', async () => {
    const flights = new SingleFlight();
    const work = deferred<number>();
    let runs = 0;

    const results = Array.from({ length: 100 }, () =>
      flights.run('k', () => {
        runs += 1;
        return work.promise;
      }),
    );
    work.resolve(7);

    expect(new Set(await Promise.all(results))).toEqual(new Set([7]));
    expect({ runs, size: flights.size }).toEqual({ runs: 1, size: 0 });
  });

  it('keeps keys apart, also those with a meaning for objects', async () => {
    const flights = new SingleFlight();

    const results = ['a', '__proto__', 'constructor', ''].map((key) => flights.run(key, async () => key));

    expect(flights.size).toBe(4);
    expect(await Promise.all(results)).toEqual(['a', '__proto__', 'constructor', '']);
  });

  it('hands the error to everybody and starts anew after it', async () => {
    const flights = new SingleFlight();
    const work = deferred<number>();
    const results = [flights.run('k', () => work.promise), flights.run('k', async () => 1)];

    work.reject(new Error('no'));

    const settled = await Promise.allSettled(results);
    expect(settled.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await flights.run('k', async () => 2)).toBe(2);
  });

  it('turns a throw before the first await into a rejection and keeps nothing', async () => {
    const flights = new SingleFlight();

    const failing = flights.run('k', () => {
      throw new Error('at once');
    });

    await expect(failing).rejects.toThrow('at once');
    expect(flights.size).toBe(0);
  });

  it('lets a new operation start after forget, and the old one does not remove it', async () => {
    const flights = new SingleFlight();
    const old = deferred<string>();
    const fresh = deferred<string>();
    const first = flights.run('k', () => old.promise);

    flights.forget('k');
    const second = flights.run('k', () => fresh.promise);
    old.resolve('old');
    await first;
    const third = flights.run('k', async () => 'third');
    fresh.resolve('fresh');

    expect(await Promise.all([second, third])).toEqual(['fresh', 'fresh']);
    expect(flights.size).toBe(0);
  });

  it('does not wait for itself when an operation asks for its own key before its first await', async () => {
    const flights = new SingleFlight();

    const result = await flights.run('k', () => flights.run('k', async () => 'inner'));

    expect(result).toBe('inner');
    expect(flights.size).toBe(0);
  });
});
