import { describe, expect, it } from '@jest/globals';
import { slotOf } from '../redis/index.js';
import { Bucket, CacheSpace, EMPTY_TEXT, entryId, trackedPrefix, type CacheKey } from './cache-key.js';

function cacheKey(prefix: string, namespace: string, key: CacheKey): string {
  const id = entryId(key);
  return new CacheSpace(prefix, namespace, 1).bucketOf(id).entry(id);
}

describe('cacheKey', () => {
  it('puts the namespace into the hash tag, so that an entry and its state share a slot', () => {
    expect(cacheKey('shop', 'default', ['user', 42])).toBe('shop:cache:{default}:entry:user/42');
    expect(cacheKey('shop', 'default', 'user:42')).toBe('shop:cache:{default}:entry:user%3A42');
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

  it('tells empty text from what it could be taken for', () => {
    const keys = [['m', EMPTY_TEXT], ['m', '~e'], ['m', 'e'], ['m'], ['m', EMPTY_TEXT, EMPTY_TEXT]];

    expect(new Set(keys.map((key) => cacheKey('p', 'n', key))).size).toBe(keys.length);
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

describe('CacheSpace', () => {
  it('keeps everything a script touches in one slot, and spreads entries over buckets', () => {
    const space = new CacheSpace('p', 'n', 16);
    const used = new Set<Bucket>();

    for (let id = 0; id < 200; id += 1) {
      const bucket = space.bucketOf(`k${id}`);
      const key = bucket.entry(`k${id}`);
      used.add(bucket);
      const keys = [bucket.state, bucket.all, key, bucket.lease(key), bucket.tag('t')];
      expect(new Set(keys.map((each) => slotOf(each))).size).toBe(1);
      expect(space.bucketOf(`k${id}`)).toBe(bucket);
    }

    expect(used.size).toBe(16);
  });

  it('tracks entries and signals, and neither state nor leases', () => {
    const { buckets } = new CacheSpace('p', 'n', 1);
    const [bucket] = buckets;
    const isTracked = (key: string) => key.startsWith(trackedPrefix('p'));

    expect([bucket.entry('k'), bucket.all, bucket.tag('t')].map(isTracked)).toEqual([true, true, true]);
    expect([bucket.state, bucket.lease(bucket.entry('k'))].map(isTracked)).toEqual([false, false]);
  });

  it('gives a namespace that looks like a bucket keys of its own', () => {
    const [first] = new CacheSpace('p', 'n', 16).buckets;
    const [other] = new CacheSpace('p', 'n/0', 1).buckets;

    expect(first.state).not.toBe(other.state);
  });
});
