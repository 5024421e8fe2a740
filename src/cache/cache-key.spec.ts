import { describe, expect, it } from '@jest/globals';
import { cacheKey, type CacheKey } from './cache-key.js';

describe('cacheKey', () => {
  it('puts namespace and key into the hash tag, so that keys spread over slots', () => {
    expect(cacheKey('shop', 'default', ['user', 42])).toBe('shop:cache:{default/user/42}:entry');
    expect(cacheKey('shop', 'default', 'user:42')).toBe('shop:cache:{default/user%3A42}:entry');
  });

  it('gives different keys to everything that is not the same', () => {
    const keys: CacheKey[] = [
      'a/b',
      'a:b',
      'a~1b',
      'a',
      'ab',
      'a b',
      'a}b',
      ['a', 'b'],
      ['a', 'b', 'c'],
      ['a/b', 'c'],
    ];

    const built = new Set(keys.map((key) => cacheKey('p', 'n', key)));
    built.add(cacheKey('p', 'n/a', 'b'));
    built.add(cacheKey('p', 'a', 'n'));

    expect(built.size).toBe(keys.length + 2);
  });

  it('treats text, a single part and a number alike', () => {
    expect(cacheKey('p', 'n', ['42'])).toBe(cacheKey('p', 'n', '42'));
    expect(cacheKey('p', 'n', [42])).toBe(cacheKey('p', 'n', '42'));
  });

  it.each<[string, unknown]>([
    ['empty text', ''],
    ['no parts', []],
    ['an empty part', ['user', '']],
    ['an undefined part', ['user', undefined]],
    ['a null part', ['user', null]],
    ['NaN', ['user', Number.NaN]],
    ['an object', { id: 1 }],
    ['undefined', undefined],
    ['a lone surrogate', 'x\uD800'],
  ])('refuses %s', (_name, key) => {
    expect(() => cacheKey('p', 'n', key as CacheKey)).toThrow(
      expect.objectContaining({ code: 'ERR_CONFIGURATION' }),
    );
  });
});
