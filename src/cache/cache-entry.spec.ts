import { describe, expect, it } from '@jest/globals';
import { jsonCodec, type Codec } from '../common/index.js';
import { decodeEntry, encodeEntry } from './cache-entry.js';

describe('encodeEntry and decodeEntry', () => {
  it.each([[null], [0], [''], [false], [[]], [{ a: [1, null] }], ['r1:x']])('round-trip %j', (value) => {
    expect(decodeEntry(encodeEntry(value, jsonCodec), jsonCodec)).toEqual({ value });
  });

  it.each([[''], ['{}'], ['r1:'], ['r1:{"a":'], ['r2:{}'], ['R1:{}']])('read %j as no entry', (text) => {
    expect(decodeEntry(text, jsonCodec)).toBeUndefined();
  });

  it('refuse what the codec refuses, naming the type only', () => {
    const cycle: Record<string, unknown> = {};
    cycle['self'] = cycle;

    for (const value of [undefined, 1n, () => 'secret', cycle]) {
      expect(() => encodeEntry(value, jsonCodec)).toThrow(
        expect.objectContaining({ code: 'ERR_CACHE_ENCODE', valueType: typeof value }),
      );
    }
  });

  it('do not trust a codec to return what it should', () => {
    const broken = { encode: () => undefined, decode: () => undefined } as unknown as Codec;

    expect(() => encodeEntry(1, broken)).toThrow(expect.objectContaining({ code: 'ERR_CACHE_ENCODE' }));
    expect(decodeEntry('r1:1', broken)).toBeUndefined();
  });
});
