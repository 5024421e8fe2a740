import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { inspect } from 'node:util';
import type { ProvidedCredentials } from '../config/index.js';
import { CredentialSource, renewalDelayMs } from './credential-source.js';
import { RedisCredentialsError } from './credentials.errors.js';

const CANARY = 'canary-5f1c';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

function setUp(answers: (ProvidedCredentials | Error | 'hang')[]) {
  const events: string[] = [];
  let asked = 0;
  const provider = async (): Promise<ProvidedCredentials> => {
    const answer = answers[Math.min(asked++, answers.length - 1)]!;
    if (answer === 'hang') return new Promise(() => undefined);
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const source = new CredentialSource('cache', provider, {
    onRenewed: () => events.push('renewed'),
    onFailed: (reason) => events.push(`failed ${reason}`),
    onRecovered: () => events.push('recovered'),
  });
  return { source, events, asked: () => asked };
}

const inMs = (ms: number) => Date.now() + ms;

describe('CredentialSource.start', () => {
  it('holds the login and never asks again when it does not expire', async () => {
    const { source, asked } = setUp([{ username: 'u', password: CANARY }]);

    await source.start(1000);
    await jest.advanceTimersByTimeAsync(3 * 86_400_000);

    expect(source.login).toEqual({ username: 'u', password: CANARY });
    expect(asked()).toBe(1);
  });

  it.each([
    ['the class of an error', new RangeError(CANARY), 'RangeError'],
    ['the code of an error', Object.assign(new Error(CANARY), { code: 'ECONNREFUSED' }), 'ECONNREFUSED'],
    ['a code that is no word', Object.assign(new Error(CANARY), { code: `x ${CANARY}` }), 'Error'],
    ['an answer without a password', { password: '' }, 'INVALID'],
    ['an answer that is not one', undefined as unknown as ProvidedCredentials, 'INVALID'],
    ['an expiry that is no time', { password: CANARY, expiresAt: NaN }, 'INVALID'],
    ['an expiry in the past', { password: CANARY, expiresAt: new Date(1000) }, 'EXPIRED'],
  ])('fails with %s', async (_what, answer, reason) => {
    const { source } = setUp([answer]);

    const error = await source.start(1000).catch((caught: unknown) => caught);
    source.stop();

    expect(error).toBeInstanceOf(RedisCredentialsError);
    expect(error).toMatchObject({ code: 'ERR_REDIS_CREDENTIALS', connection: 'cache', reason });
    expect(inspect(error, { depth: 9 })).not.toContain('canary');
  });

  it('fails at the deadline when there is no answer', async () => {
    const { source } = setUp(['hang']);
    const failing = source.start(1000).catch((caught: unknown) => caught);

    await jest.advanceTimersByTimeAsync(1000);

    expect(await failing).toMatchObject({ reason: 'ETIMEDOUT' });
    source.stop();
    expect(jest.getTimerCount()).toBe(0);
  });
});

describe('CredentialSource renewal', () => {
  it('asks again before the login expires', async () => {
    const first = { password: 'a', expiresAt: inMs(60_000) };
    const { source, events, asked } = setUp([first, { password: 'b', expiresAt: inMs(3_600_000) }]);
    await source.start(1000);

    await jest.advanceTimersByTimeAsync(29_000);
    expect(asked()).toBe(1);
    await jest.advanceTimersByTimeAsync(17_000);

    expect(asked()).toBe(2);
    expect(source.login).toEqual({ password: 'b' });
    expect(events).toEqual(['renewed', 'renewed']);
    source.stop();
  });

  it('keeps the login and asks with back-off while the function fails, and reports that once', async () => {
    const { source, events, asked } = setUp([
      { password: 'a', expiresAt: inMs(60_000) },
      new Error(CANARY),
      new Error(CANARY),
      { password: 'b' },
    ]);
    await source.start(1000);

    await jest.advanceTimersByTimeAsync(60_000);

    expect(asked()).toBe(4);
    expect(source.login).toEqual({ password: 'b' });
    expect(events).toEqual(['renewed', 'failed Error', 'recovered', 'renewed']);
  });

  it('asks for lost connections in a growing rhythm, and logs in anew only when something changed', async () => {
    const { source, events, asked } = setUp([{ password: 'a' }, { password: 'a' }, { password: 'b' }]);
    await source.start(1000);
    const askFor = async (ms: number) => {
      for (let at = 0; at < ms; at += 10) {
        source.ask();
        await jest.advanceTimersByTimeAsync(10);
      }
    };

    await askFor(150);
    expect([asked(), source.version]).toEqual([2, 1]);
    await askFor(200);
    expect([asked(), source.version]).toEqual([3, 2]);
    await askFor(60_000);
    expect(asked()).toBeLessThan(22);
    source.accepted();
    const before = asked();
    await askFor(10_000);

    expect(asked() - before).toBeGreaterThan(5);
    expect(events).toEqual(['renewed', 'renewed']);
  });

  it('waits for no answer once it has stopped, and says nothing of it', async () => {
    const { source, events } = setUp([{ password: CANARY, expiresAt: inMs(60_000) }, 'hang']);
    await source.start(1000);
    source.ask();
    await jest.advanceTimersByTimeAsync(200);
    source.ask();

    source.stop();
    await jest.advanceTimersByTimeAsync(0);

    expect(jest.getTimerCount()).toBe(0);
    expect(events).toEqual(['renewed']);
  });

  it('ends a start that is under way when it is stopped', async () => {
    const { source } = setUp(['hang']);
    const started = source.start(1000);

    source.stop();

    await expect(started).rejects.toThrow(/STOPPED/);
  });

  it('asks again after a refusal, and stops for good', async () => {
    const { source, asked } = setUp([{ password: 'a' }]);
    await source.start(1000);

    expect([source.refused(), source.refused()]).toEqual([true, false]);
    await jest.advanceTimersByTimeAsync(2000);
    expect(asked()).toBe(2);
    source.refused();
    source.stop();
    source.ask();
    await jest.advanceTimersByTimeAsync(100_000);

    expect(asked()).toBe(2);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('prints without its secrets', async () => {
    const { source } = setUp([{ username: 'u', password: CANARY }]);
    await source.start(1000);

    expect(inspect(source, { depth: 9, showHidden: true }) + JSON.stringify(source)).not.toContain('canary');
  });
});

describe('renewalDelayMs', () => {
  it.each([
    [60_000, 0, 45_000],
    [60_000, 1, 30_000],
    [12 * 3_600_000, 0, 12 * 3_600_000 - 300_000],
    [12 * 3_600_000, 1, 12 * 3_600_000 - 600_000],
    [0, 0.5, 0],
    [Infinity, 0.5, Infinity],
  ])('with %d ms left and chance %d waits %d ms', (left, chance, expected) => {
    expect(renewalDelayMs(left, () => chance)).toBe(expected);
  });
});
