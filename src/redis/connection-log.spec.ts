import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { DIAGNOSTICS, type ConnectionDiagnostic } from '../common/index.js';
import { ConnectionLog, type LogFormat } from './connection-log.js';
import type { ManagedConnection } from './managed-connection.js';

interface Line {
  level: 'log' | 'warn' | 'error';
  message: unknown;
}

/** What the log reads of a connection: the client's events and where it leads. */
function probe(format: LogFormat, connection = 'default') {
  const client = new EventEmitter();
  const lines: Line[] = [];
  const link = { client, connection, role: 'command', target: 'redis://db:6379/0', isClosing: false };
  const logger = {
    log: (message: unknown) => void lines.push({ level: 'log', message }),
    warn: (message: unknown) => void lines.push({ level: 'warn', message }),
    error: (message: unknown) => void lines.push({ level: 'error', message }),
  };
  new ConnectionLog(link as unknown as ManagedConnection, logger, format).attach();
  const states = () => lines.map(({ message }) => (message as { state: string }).state);
  return { client, link, lines, states };
}

const refused = (): Error => Object.assign(new Error('connect canary'), { code: 'ECONNREFUSED' });

function fail(client: EventEmitter, delayMs = 50): void {
  client.emit('error', refused());
  client.emit('close');
  client.emit('reconnecting', delayMs);
}

function connect(client: EventEmitter): void {
  client.emit('connect');
  client.emit('ready');
}

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

describe('ConnectionLog', () => {
  it('writes the way to readiness', () => {
    const { client, lines } = probe('pretty');

    connect(client);

    expect(lines).toEqual([
      { level: 'log', message: '◌ connect command redis://db:6379/0' },
      { level: 'log', message: '● ready command redis://db:6379/0' },
    ]);
  });

  it('writes each state of an outage once, and what was folded when it ends', () => {
    const { client, lines } = probe('json');
    connect(client);
    lines.length = 0;

    client.emit('close');
    client.emit('reconnecting', 50);
    for (let attempt = 0; attempt < 19; attempt += 1) {
      jest.advanceTimersByTime(1000);
      fail(client, 1000);
    }
    jest.advanceTimersByTime(500);
    connect(client);

    const common = { event: 'redis.connection', connection: 'default', role: 'command' };
    const record = (state: string, details: object = {}) =>
      expect.objectContaining({ ...common, state, target: 'redis://db:6379/0', ...details });
    expect(lines).toEqual([
      { level: 'warn', message: record('close') },
      { level: 'warn', message: record('reconnecting', { delayMs: 50 }) },
      { level: 'error', message: record('error', { code: 'ECONNREFUSED' }) },
      { level: 'log', message: record('ready', { downMs: 19_500, attempts: 20 }) },
    ]);
    expect((lines[3]!.message as { folded: number }).folded).toBeGreaterThanOrEqual(18 * 3);
  });

  it('sums a long outage up every 30 s', () => {
    const { client, lines } = probe('json');
    connect(client);
    lines.length = 0;

    for (let second = 0; second < 100; second += 1) {
      fail(client, 1000);
      jest.advanceTimersByTime(1000);
    }

    expect(lines).toHaveLength(3 + 3);
    expect(lines.slice(3).map(({ message }) => (message as { downMs: number }).downMs)).toEqual([
      30_000, 60_000, 90_000,
    ]);
    expect(lines[3]!.message).toMatchObject({ attempts: 30, folded: 88 });
  });

  it('starts anew with the next outage', () => {
    const { client, states } = probe('json');
    connect(client);
    fail(client);
    connect(client);
    fail(client);

    expect(states().filter((state) => state === 'error')).toHaveLength(2);
    expect(states().filter((state) => state === 'connect')).toHaveLength(1);
  });

  it('bounds what a flapping connection writes, and reports it later with its state', () => {
    const { client, lines } = probe('json');
    connect(client);
    for (let flap = 0; flap < 50; flap += 1) {
      fail(client);
      connect(client);
    }
    expect(lines.length).toBeLessThanOrEqual(8);

    jest.advanceTimersByTime(60_000);

    expect(lines.length).toBeLessThanOrEqual(12);
    expect(lines.at(-1)!.message).toMatchObject({ folded: expect.any(Number) });
  });

  it('reports no recovery at the first readiness, however long it took', () => {
    const { client, lines } = probe('json');
    fail(client);
    jest.advanceTimersByTime(5000);

    connect(client);

    expect(lines.at(-1)!.message).not.toHaveProperty('downMs');
  });

  it('is quiet about a planned close but for its end', () => {
    const { client, link, lines } = probe('pretty');
    connect(client);
    lines.length = 0;

    link.isClosing = true;
    client.emit('close');
    client.emit('error', refused());
    client.emit('reconnecting', 50);
    client.emit('end');
    client.emit('end');

    expect(lines).toEqual([{ level: 'log', message: '■ end command redis://db:6379/0' }]);
  });

  it('writes readable lines with the name of a further connection', () => {
    const { client, lines } = probe('pretty', 'cache');
    connect(client);
    fail(client, 50);
    jest.advanceTimersByTime(2500);
    fail(client, 100);
    connect(client);

    expect(lines.slice(2).map(({ message }) => message)).toEqual([
      '✖ error cache/command redis://db:6379/0 (ECONNREFUSED)',
      '○ close cache/command redis://db:6379/0',
      '↻ reconnecting cache/command redis://db:6379/0 (in 50 ms)',
      expect.stringMatching(
        /^● ready cache\/command redis:\/\/db:6379\/0 \(down for 2\.5 s, 2 attempts, \d repeats not shown\)$/,
      ),
    ]);
  });

  it.each(['json', 'pretty'] as const)('writes no message, argument or secret (%s)', (format) => {
    const { client, lines } = probe(format);
    const hostile = [
      refused(),
      Object.assign(new Error('WRONGPASS canary'), { command: { name: 'auth', args: ['canary'] } }),
      new Error('canary'),
      new Error("getaddrinfo failed for 'canary'"),
    ];

    for (const error of hostile) {
      client.emit('error', error);
      jest.advanceTimersByTime(31_000);
    }

    expect(lines).toHaveLength(4);
    expect(JSON.stringify(lines)).not.toContain('canary');
  });

  it('publishes every event, those that are folded or quiet as well', () => {
    const { client, link } = probe('json');
    const seen: ConnectionDiagnostic[] = [];
    const listener = (message: unknown) => void seen.push(message as ConnectionDiagnostic);
    subscribe(DIAGNOSTICS.connection, listener);

    connect(client);
    fail(client);
    fail(client);
    link.isClosing = true;
    client.emit('end');

    unsubscribe(DIAGNOSTICS.connection, listener);
    expect(seen.map(({ state }) => state).join(' ')).toBe(
      'connect ready error close reconnecting error close reconnecting end',
    );
    expect(seen[2]).toEqual({
      connection: 'default',
      role: 'command',
      state: 'error',
      errorCode: 'ECONNREFUSED',
    });
  });
});
