import { describe, expect, it } from '@jest/globals';
import { redact, redactText } from './redact.js';

const CANARY = 'hunter2canary';

describe('redactText', () => {
  it.each([
    [`redis://app:${CANARY}@db:6379/1`, 'redis://***@db:6379/1'],
    [`rediss://:${CANARY}@db`, 'rediss://***@db'],
    [`REDIS://${CANARY}@db`, 'REDIS://***@db'],
    [`redis+sentinel://u:${CANARY}@a,b/m`, 'redis+sentinel://***@a,b/m'],
    [`redis://app:p@${CANARY}@db`, 'redis://***@db'],
    [`redis://app:${CANARY}@@db`, 'redis://***@db'],
    [`redis://app:it's${CANARY}@db`, 'redis://***@db'],
    [`redis://app:a"${CANARY}@db`, 'redis://***@db'],
    [`redis://app:a/b#c?${CANARY}@db`, 'redis://***@db'],
    [`redis://a:${CANARY}@h1,redis://b:${CANARY}@h2`, 'redis://***@h2'],
    [`"redis://a:${CANARY}@h1" and 'redis://b:${CANARY}@h2'`, `"redis://***@h1" and 'redis://***@h2'`],
    [`unix://u:${CANARY}@/run/redis.sock`, 'unix://***@/run/redis.sock'],
    [`at redis://u:${CANARY}@db\n    at next`, 'at redis://***@db\n    at next'],
  ])('masks %p', (text, expected) => {
    expect(redactText(text)).toBe(expected);
  });

  it.each(['', 'no url', 'redis://db:6379/0', 'mail ops@example.com', '@', '://', 'redis://db mail a@b'])(
    'leaves %p alone',
    (text) => {
      expect(redactText(text)).toBe(text);
    },
  );

  it('takes time in proportion to the text', () => {
    const hostile = `@${'a://'.repeat(100_000)} ${'a'.repeat(400_000)}`;
    const startedMs = performance.now();

    redactText(hostile);

    expect(performance.now() - startedMs).toBeLessThan(1000);
  });
});

describe('redact', () => {
  it('masks secrets at every level', () => {
    const options = {
      host: 'db',
      password: CANARY,
      sentinelPassword: CANARY,
      tls: { ca: 'public', key: CANARY, cert: CANARY, passphrase: CANARY, pfx: Buffer.from(CANARY) },
      nodes: [{ url: `redis://u:${CANARY}@h`, auth: CANARY }],
      headers: { Authorization: `Bearer ${CANARY}`, cookie: CANARY, 'x-api-key': CANARY },
      pwd: CANARY,
      accessToken: { nested: CANARY },
    };

    const clean = redact(options);

    expect(JSON.stringify(clean)).not.toContain('canary');
    expect(clean).toMatchObject({
      host: 'db',
      password: '***',
      tls: { ca: 'public' },
      nodes: [{ url: 'redis://***@h' }],
    });
  });

  it('does not change its argument', () => {
    const options = Object.freeze({ password: CANARY, list: Object.freeze([`redis://${CANARY}@h`]) });

    redact(options);

    expect(options).toEqual({ password: CANARY, list: [`redis://${CANARY}@h`] });
  });

  it('keeps what holds no secret', () => {
    const plain = {
      a: 1,
      b: null,
      c: undefined,
      d: true,
      e: [1, ['x']],
      f: { g: 'h' },
      keys: 3,
      monkey: 'm',
    };

    expect(redact(plain)).toEqual(plain);
    expect(redact({ password: null, token: undefined })).toEqual({ password: null, token: undefined });
    expect(redact(10n)).toBe(10n);
  });

  it('shows class instances as their kind: an error of the client carries its command', () => {
    const error = Object.assign(new TypeError(`redis://${CANARY}@h`), {
      command: { name: 'set', args: ['k', CANARY] },
    });
    class Login {
      readonly user = CANARY;
    }

    const clean = redact({
      error,
      login: new Login(),
      map: new Map([['k', CANARY]]),
      set: new Set([CANARY]),
      url: new URL(`redis://u:${CANARY}@h`),
      bytes: Buffer.from(CANARY),
      call: () => CANARY,
      bare: Object.create({ inherited: CANARY }),
    });

    expect(clean).toEqual({
      error: '[TypeError]',
      login: '[Login]',
      map: '[Map]',
      set: '[Set]',
      url: '[URL]',
      bytes: '[13 bytes]',
      call: '[function]',
      bare: '[Object]',
    });
  });

  it('ends on cycles and deep data', () => {
    const cycle: Record<string, unknown> = { password: CANARY };
    cycle['self'] = cycle;
    cycle['list'] = [cycle];

    const text = JSON.stringify(redact(cycle));

    expect(text).toContain('[...]');
    expect(text).not.toContain('canary');
  });

  it('copies objects without a prototype, and a key named __proto__ as data', () => {
    const bare = Object.assign(Object.create(null) as object, { token: CANARY, a: 1 });
    const parsed: unknown = JSON.parse(`{"__proto__":{"polluted":true},"token":"${CANARY}"}`);

    const clean = redact(parsed) as object;

    expect(redact(bare)).toEqual({ token: '***', a: 1 });
    expect(Object.keys(clean)).toEqual(['__proto__', 'token']);
    expect('polluted' in clean).toBe(false);
  });
});
