import { describe, expect, it } from '@jest/globals';
import { EMPTY_TEXT } from './cache-key.js';
import { KeyTemplate } from './key-template.js';

const key = (text: string, ...args: unknown[]) => new KeyTemplate(text, 'key of X.find').key(args);

describe('KeyTemplate', () => {
  it('fills in arguments and their properties', () => {
    expect(key('user:{0}', 'u1')).toEqual(['user', 'u1']);
    expect(key('v{0}:{1.address.city}', 2, { address: { city: 'Ulm' } })).toEqual(['v2', 'Ulm']);
    expect(key('all')).toEqual(['all']);
    expect(new KeyTemplate('user:{0.id}', 'tags').text([{ id: 7 }])).toBe('user:7');
  });

  it('keeps a value in its part, whatever is in it', () => {
    expect(key('{0}:{1}', 'a:b', 'c')).toEqual(['a:b', 'c']);
    expect(key('{0}:{1}', 'a', 'b:c')).toEqual(['a', 'b:c']);
    expect(key('{0}', '{1}', 'secret')).toEqual(['{1}']);
  });

  it('takes empty text for a value', () => {
    expect(key('find:{0}', '')).toEqual(['find', EMPTY_TEXT]);
    expect(new KeyTemplate('find:{0}', 'tags').text([''])).toBe('find:');
  });

  it('tells the tags of several values apart, and leaves one value as it is', () => {
    const tag = (text: string, ...args: unknown[]) => new KeyTemplate(text, 'tags of X.find').text(args);

    expect(tag('user:{0}', 'a:b%')).toBe('user:a:b%');
    expect(tag('{0}:{1}', 'a', 'b')).toBe('a:b');
    const tags = [
      tag('{0}:{1}', 'a:b', 'c'),
      tag('{0}:{1}', 'a', 'b:c'),
      tag('{0}:{1}', 'a%3Ab', 'c'),
      tag('{0}:{1}', '', 'a:b:c'),
    ];
    expect(new Set(tags).size).toBe(tags.length);
  });

  it('names the placeholder that has no value', () => {
    for (const args of [[], [undefined], [null], [{}], [Number.NaN]]) {
      expect(() => key('user:{0}', ...args)).toThrow(/\{0\} in the key of X\.find is \w+; it has to be/);
    }
    expect(() => key('user:{0.id}', { name: 'n' })).toThrow('{0.id} in the key of X.find is undefined');
  });

  it('refuses placeholders whose values could run together', () => {
    expect(() => key('{0}{1}', 'a', 'b')).toThrow('put a ":" between them');
  });
});
