import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, expect, it } from '@jest/globals';
import { DIAGNOSTICS, DiagnosticsPublisher } from './diagnostics.js';

describe('DiagnosticsPublisher', () => {
  it('does not build a message nobody hears', () => {
    const publisher = new DiagnosticsPublisher<{ n: number }>('rednest:spec:unheard');

    publisher.publish(() => {
      throw new Error('built for nobody');
    });

    expect(publisher).toBeDefined();
  });

  it('builds one message for all subscribers, and none after they left', () => {
    const name = 'rednest:spec:heard';
    const publisher = new DiagnosticsPublisher<{ n: number }>(name);
    const seen: unknown[] = [];
    const first = (message: unknown) => void seen.push(message);
    const second = (message: unknown) => void seen.push(message);
    let built = 0;
    const publish = () => publisher.publish(() => ({ n: ++built }));

    subscribe(name, first);
    subscribe(name, second);
    publish();
    unsubscribe(name, first);
    publish();
    unsubscribe(name, second);
    publish();

    expect(seen).toEqual([{ n: 1 }, { n: 1 }, { n: 2 }]);
    expect(built).toBe(2);
  });

  it('reaches a subscriber that came before the publisher', () => {
    const name = 'rednest:spec:early';
    const seen: unknown[] = [];
    const listener = (message: unknown) => void seen.push(message);
    subscribe(name, listener);

    new DiagnosticsPublisher<{ ok: boolean }>(name).publish(() => ({ ok: true }));

    unsubscribe(name, listener);
    expect(seen).toEqual([{ ok: true }]);
  });
});

describe('DIAGNOSTICS', () => {
  it('names each channel once, under the name of the package', () => {
    const names: string[] = Object.values(DIAGNOSTICS);

    expect(new Set(names).size).toBe(names.length);
    expect(names.every((name) => name.startsWith('rednest:'))).toBe(true);
    expect(Object.isFrozen(DIAGNOSTICS)).toBe(true);
  });
});
