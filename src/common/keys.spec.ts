import { describe, expect, it } from '@jest/globals';
import { isRednestError } from './errors.js';
import { assertKeyPrefix, buildKey, escapeKeyPart } from './keys.js';

/** Characters most likely to break an escape: separators, what escapes look like, odd white space. */
const HOSTILE = Array.from(
  ':{}*?[]\\%/-_.~0123ABabz \n\t\r\u0000\u001f\u007f\u0085\u00a0\u2028\u3000\ufeffé💥',
);

/** mulberry32: small, seeded, good enough to spread cases. */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 2 ** 31);
const below = seeded(seed);
const part = (): string =>
  Array.from({ length: 1 + below(4) }, () => HOSTILE[below(HOSTILE.length)]!).join('');

/** What Redis Cluster hashes: the text between the first brace and the first closing one after it. */
function hashTag(key: string): string | undefined {
  const start = key.indexOf('{');
  const end = key.indexOf('}', start + 1);
  return start < 0 || end <= start + 1 ? undefined : key.slice(start + 1, end);
}

describe('escapeKeyPart', () => {
  it.each([
    ['plain-Text_1.2~/é💥', 'plain-Text_1.2~/é💥'],
    ['a:b', 'a%3Ab'],
    ['{x}', '%7Bx%7D'],
    ['*?[a]\\', '%2A%3F%5Ba%5D%5C'],
    ['100%', '100%25'],
    ['%3A', '%253A'],
    [' \n', '%20%0A'],
    ['\u00a0', '%C2%A0'],
    ['\u2028', '%E2%80%A8'],
    ['\u0000', '%00'],
    [0, '0'],
    [-1.5, '-1.5'],
  ])('turns %p into %p', (value, expected) => {
    expect(escapeKeyPart(value)).toBe(expected);
  });

  it.each(['', '\ud800', 'a\udc00', '\udc00\ud800', 'x\ud83dx'])('refuses %p', (value) => {
    expect(() => escapeKeyPart(value)).toThrow(expect.objectContaining({ code: 'ERR_CONFIGURATION' }));
  });

  it.each([undefined, null, NaN, Infinity, {}, [], ['t1'], true, 1n, Symbol('t1'), new String('t1')])(
    'refuses %p: a missing id is not an id',
    (value) => {
      expect(() => escapeKeyPart(value as string)).toThrow(/^A key part is .*; give text/);
    },
  );

  it('does not repeat the value in its error', () => {
    expect(() => escapeKeyPart(['canary'] as unknown as string)).not.toThrow(/canary/);
  });

  it(`is injective and leaves no character with a meaning (seed ${seed})`, () => {
    const seen = new Map<string, string>();
    const broken: string[] = [];

    for (let index = 0; index < 20_000; index += 1) {
      const value = part();
      const escaped = escapeKeyPart(value);
      const isSound =
        (seen.get(escaped) ?? value) === value &&
        decodeURIComponent(escaped) === value &&
        !/[:{}*?[\]\\\s]/.test(escaped);
      if (!isSound) broken.push(value);
      seen.set(escaped, value);
    }

    expect(broken).toEqual([]);
  });
});

describe('buildKey', () => {
  it('puts the routing id into the hash tag', () => {
    expect(buildKey('shop', 'cache', 't1')).toBe('shop:cache:{t1}');
    expect(buildKey('shop', 'queue', 't1', 'once', 5)).toBe('shop:queue:{t1}:once:5');
  });

  it('keeps a hostile id inside its place', () => {
    expect(buildKey('p', 'c', '}:{victim', 'x')).toBe('p:c:{%7D%3A%7Bvictim}:x');
    expect(buildKey('p', 'c', 't', 'a', 'b')).not.toBe(buildKey('p', 'c', 't', 'a:b'));
  });

  it(`gives different parts different keys and equal routing ids one slot (seed ${seed})`, () => {
    const seen = new Map<string, string>();
    const broken: string[] = [];

    for (let index = 0; index < 20_000; index += 1) {
      const parts = Array.from({ length: 1 + below(3) }, part);
      const [routingId, ...rest] = parts as [string, ...string[]];
      const key = buildKey('p:q', 'c', routingId, ...rest);
      const identity = JSON.stringify(parts);
      const isSound = (seen.get(key) ?? identity) === identity && hashTag(key) === escapeKeyPart(routingId);
      if (!isSound) broken.push(identity);
      seen.set(key, identity);
    }

    expect(broken).toEqual([]);
  });

  it('refuses an empty or missing part wherever it stands', () => {
    const missing = undefined as unknown as string;

    for (const parts of [[''], ['a', ''], [missing], ['a', missing], ['a', 'b', '']]) {
      expect(() => buildKey('p', 'c', parts[0]!, ...parts.slice(1))).toThrow(/^A key part is/);
    }
  });
});

describe('assertKeyPrefix', () => {
  it.each(['a', 'shop', 'shop:eu', 'A.b_c-9', '9', 'x'.repeat(128)])('takes %p', (value) => {
    expect(assertKeyPrefix(value, 'keyPrefix')).toBe(value);
  });

  it.each(['', ':', 'a:', ':a', '-a', 'a b', 'a{b}', 'a\n', 'é', 'a*', 'a%', 'x'.repeat(129)])(
    'refuses %p and names the setting',
    (value) => {
      let caught: unknown;
      try {
        assertKeyPrefix(value, 'REDIS_KEY_PREFIX');
      } catch (error) {
        caught = error;
      }

      expect(isRednestError(caught, 'ERR_CONFIGURATION')).toBe(true);
      expect((caught as Error).message).toMatch(/^REDIS_KEY_PREFIX /);
    },
  );
});
