import { describe, expect, it } from '@jest/globals';
import { jsonCodec } from './codec.js';

const roundTrip = (value: unknown): unknown => jsonCodec.decode(jsonCodec.encode(value));

describe('jsonCodec', () => {
  it.each([null, 0, -1.5, '', 'text', false, [], {}, [null, [1]], { a: { b: null } }, '\u2028"\\u0000'])(
    'brings %p back',
    (value) => {
      expect(roundTrip(value)).toEqual(value);
    },
  );

  it.each([undefined, () => 1, Symbol('x'), { toJSON: () => undefined }])('refuses %p', (value) => {
    expect(() => jsonCodec.encode(value)).toThrow(TypeError);
  });

  it('refuses what has no end and what JSON has no word for', () => {
    const cycle: Record<string, unknown> = {};
    cycle['self'] = cycle;

    expect(() => jsonCodec.encode(cycle)).toThrow('circular');
    expect(() => jsonCodec.encode(1n)).toThrow('BigInt');
  });

  it.each([
    '{"__proto__":{"isAdmin":true}}',
    '{"\\u005f_proto__":{"isAdmin":true}}',
    '{"\\u005F\\u005F\\u0070roto__":{"isAdmin":true}}',
    '{ "__proto__" : {"isAdmin":true}}',
    '{"a":{"__proto__":{"isAdmin":true}}}',
    '[{"__proto__":{"isAdmin":true}}]',
    '{"__proto__":null,"constructor":{"a":1}}',
  ])('drops what would reach a prototype from %s', (text) => {
    const value = jsonCodec.decode(text);
    const copied = Object.assign({}, value, (value as { a?: object }).a) as { isAdmin?: unknown };

    expect(JSON.stringify(value)).not.toContain('proto');
    expect(copied.isAdmin).toBeUndefined();
    expect(({} as { isAdmin?: unknown }).isAdmin).toBeUndefined();
  });

  it('keeps the text __proto__ where it is a value', () => {
    expect(jsonCodec.decode('["__proto__",{"k":"__proto__"}]')).toEqual(['__proto__', { k: '__proto__' }]);
  });

  it.each(['', 'canary', '{"a":"canary"', '{"canary":undefined}', 'undefined', '{"__proto__":canary}'])(
    'refuses %p without quoting it',
    (text) => {
      expect(() => jsonCodec.decode(text)).toThrow(SyntaxError);
      expect(() => jsonCodec.decode(text)).not.toThrow(/canary/);
    },
  );
});
