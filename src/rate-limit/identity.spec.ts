import { describe, expect, it } from '@jest/globals';
import { ConfigurationError } from '../common/index.js';
import { encodeIdentity } from './identity.js';

describe('encodeIdentity', () => {
  it('keeps a short text readable', () => {
    expect(encodeIdentity('tenant-7')).toBe('tenant-7');
    expect(encodeIdentity(['ip', '203.0.113.7'])).toBe('ip/203.0.113.7');
  });

  it('never maps two identities to one text', () => {
    const ids = [
      ['a:b', 'c'],
      ['a', 'b:c'],
      ['a/b', 'c'],
      ['a', 'b/c'],
      ['a~1b', 'c'],
      ['a', 'b', 'c'],
      ['a/b/c'],
      ['a~', '/c'],
      ['a', '~0', 'c'],
    ];

    expect(new Set(ids.map(encodeIdentity)).size).toBe(ids.length);
  });

  it('replaces what is longer than 48 bytes by 22 characters of its hash', () => {
    const long = 'x'.repeat(49);

    const encoded = encodeIdentity(long);

    expect(encoded).toMatch(/^~h[\w-]{22}$/);
    expect(encodeIdentity('x'.repeat(48))).toBe('x'.repeat(48));
    expect(encodeIdentity('é'.repeat(25))).toMatch(/^~h/);
    expect(encodeIdentity(`${long}y`)).not.toBe(encoded);
    expect(encodeIdentity(encoded)).not.toBe(encoded);
  });

  it('takes text that UTF-8 cannot carry, without mixing it up', () => {
    expect(encodeIdentity('\uD800')).toMatch(/^~h/);
    expect(encodeIdentity('\uD800')).not.toBe(encodeIdentity('\uD801'));
  });

  it.each([[''], [[]], [['a', '']], [[1 as unknown as string]], [undefined as unknown as string]])(
    'refuses %j',
    (id) => {
      expect(() => encodeIdentity(id)).toThrow(ConfigurationError);
    },
  );
});
