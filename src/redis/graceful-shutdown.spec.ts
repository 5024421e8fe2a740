import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { enableGracefulShutdown, type Closable } from './graceful-shutdown.js';

/** Signals that nothing in a test run uses. */
const SIGNALS = ['SIGUSR2', 'SIGWINCH'] as const;

function probe(shutdownTimeoutMs = 5000) {
  const closedWith: (string | undefined)[] = [];
  const codes: number[] = [];
  const events: string[] = [];
  let end!: () => void;
  let fail!: (error: Error) => void;
  const closed = new Promise<void>((resolve, reject) => {
    end = resolve;
    fail = reject;
  });
  const app = {
    get: () => ({ configuration: { shutdownTimeoutMs } }),
    close: (signal?: string) => {
      closedWith.push(signal);
      return closed;
    },
  } as unknown as Closable;
  const remove = enableGracefulShutdown(app, {
    signals: SIGNALS,
    exit: (code) => void codes.push(code),
    onEvent: (event, signal) => void events.push(`${event} ${signal}`),
  });
  return { closedWith, codes, events, end, fail, remove };
}

const send = (signal: (typeof SIGNALS)[number] = 'SIGUSR2') => process.emit(signal, signal);

let remove: () => void = () => undefined;
beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  remove();
  jest.useRealTimers();
});

function start(shutdownTimeoutMs?: number) {
  const started = probe(shutdownTimeoutMs);
  remove = started.remove;
  return started;
}

describe('enableGracefulShutdown', () => {
  it('closes on the first signal and exits with 0', async () => {
    const { closedWith, codes, events, end } = start();

    send();
    end();
    await jest.advanceTimersByTimeAsync(0);

    expect({ closedWith, codes }).toEqual({ closedWith: ['SIGUSR2'], codes: [0] });
    expect(events).toEqual(['closing SIGUSR2', 'closed SIGUSR2']);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('takes a signal that comes twice within half a second for one', async () => {
    const { closedWith, codes, end } = start();

    send();
    jest.advanceTimersByTime(499);
    send();
    send('SIGWINCH');
    expect(codes).toEqual([]);
    end();
    await jest.advanceTimersByTimeAsync(0);

    expect({ closedWith, codes }).toEqual({ closedWith: ['SIGUSR2'], codes: [0] });
  });

  it('exits at once with 1 on a second signal, and a late close changes nothing', async () => {
    const { closedWith, codes, events, end } = start();

    send();
    jest.advanceTimersByTime(500);
    send('SIGWINCH');
    expect(codes).toEqual([1]);
    end();
    await jest.advanceTimersByTimeAsync(60_000);

    expect({ closedWith, codes }).toEqual({ closedWith: ['SIGUSR2'], codes: [1] });
    expect(events).toEqual(['closing SIGUSR2', 'forced SIGWINCH']);
  });

  it('exits with 1 when closing fails', async () => {
    const { codes, events, fail } = start();

    send();
    fail(new Error('no'));
    await jest.advanceTimersByTimeAsync(0);

    expect(codes).toEqual([1]);
    expect(events).toEqual(['closing SIGUSR2', 'failed SIGUSR2']);
  });

  it('exits with 1 when closing takes too long, and a close after that changes nothing', async () => {
    const { codes, events, end } = start(3000);

    send();
    await jest.advanceTimersByTimeAsync(2999);
    expect(codes).toEqual([]);
    await jest.advanceTimersByTimeAsync(1);
    end();
    await jest.advanceTimersByTimeAsync(0);

    expect(codes).toEqual([1]);
    expect(events).toEqual(['closing SIGUSR2', 'timeout SIGUSR2']);
  });

  it('removes its handlers and no others', () => {
    const other = () => undefined;
    process.on('SIGUSR2', other);
    const before = SIGNALS.map((signal) => process.listenerCount(signal));
    const { closedWith, remove } = start();
    expect(SIGNALS.map((signal) => process.listenerCount(signal))).toEqual(before.map((count) => count + 1));

    remove();
    remove();
    send();

    expect(SIGNALS.map((signal) => process.listenerCount(signal))).toEqual(before);
    expect(closedWith).toEqual([]);
    process.off('SIGUSR2', other);
  });
});
