import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { encodeBody, StoredEntry } from './entry-format.js';
import { CODEC, ValueCodec } from './value-codec.js';

const codec = new ValueCodec(undefined, undefined, 1_000_000);

function throughEntry(value: unknown, tags: readonly string[] = []): { value: unknown; entry: StoredEntry } {
  const { flags, bytes } = codec.encode(value);
  const head = Buffer.alloc(26);
  head.write('r3');
  head.writeDoubleLE(1_700_000_000_000_001, 2);
  head.writeDoubleLE(1_700_000_000_000_002, 10);
  head.writeDoubleLE(1_700_000_000_000_003, 18);
  const body = encodeBody({ flags, version: 7, loadMs: 12, tags, validators: { etag: 'v1' } }, bytes);
  const entry = StoredEntry.parse(Buffer.concat([head, Buffer.from(body)]))!;
  return { value: codec.decode(entry.flags, entry.bytes), entry };
}

const anything = fc.anything({
  withDate: true,
  withMap: true,
  withSet: true,
  withBigInt: true,
  withTypedArray: false,
  withNullPrototype: false,
  withSparseArray: false,
  key: fc.string().filter((key) => key !== '__proto__' && key !== 'toJSON'),
});

/** Two dates that are none are not equal to the matcher; they have a test of their own. */
const rich = anything.filter((value) => !inspect(value, { depth: null }).includes('Invalid Date'));

describe('ValueCodec', () => {
  it('gives back what it was given, through an entry with tags', () => {
    const tags = fc.array(fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }), { maxLength: 5 });

    fc.assert(
      fc.property(rich, tags, (value, names) => {
        const result = throughEntry(value, names);

        expect(result.value).toEqual(value);
        expect(result.entry).toMatchObject({
          tags: names,
          version: 7,
          loadMs: 12,
          validators: { etag: 'v1' },
          stampUs: 1_700_000_000_000_001,
          softUs: 1_700_000_000_000_002,
          hardUs: 1_700_000_000_000_003,
        });
      }),
      { numRuns: 500 },
    );
  });

  it('gives back a date that is none, also inside of something', () => {
    const none = new Date(NaN);
    const value = throughEntry(new Map([['at', [none]]])).value as Map<string, Date[]>;

    expect(value.get('at')![0]).toBeInstanceOf(Date);
    expect(value.get('at')![0]!.getTime()).toBeNaN();
  });

  it('uses JSON where it is exact, and only there', () => {
    const plain = [1, 'a', true, null, [1, { a: [null] }], { 'a b': 0 }];
    const rest = [new Date(0), 1n, NaN, -0, Infinity, undefined, new Map(), [undefined], { a: undefined }];

    expect(plain.map((value) => codec.encode(value).flags)).toEqual(plain.map(() => CODEC.json));
    expect(rest.map((value) => codec.encode(value).flags)).toEqual(rest.map(() => CODEC.devalue));
  });

  it('stores instances of classes as their own properties, or as they say themselves', () => {
    class User {
      constructor(readonly name: string) {}
      greet(): string {
        return `Hello ${this.name}`;
      }
    }
    class Money {
      toJSON(): string {
        return '5 EUR';
      }
    }

    expect(throughEntry({ user: new User('Ada'), price: new Money() }).value).toEqual({
      user: { name: 'Ada' },
      price: '5 EUR',
    });
  });

  it('keeps buffers and bytes apart', () => {
    const { value } = throughEntry({ buffer: Buffer.from([1, 2]), bytes: new Uint8Array([3]) });

    const { buffer, bytes } = value as { buffer: Buffer; bytes: Uint8Array };
    expect(Buffer.isBuffer(buffer) && [...buffer]).toEqual([1, 2]);
    expect(Buffer.isBuffer(bytes)).toBe(false);
    expect([...bytes]).toEqual([3]);
  });

  it.each([
    ['a function', () => 1],
    ['a symbol', Symbol.iterator],
    ['an object that holds one', { f: () => 1 }],
  ])('refuses %s', (_what, value) => {
    expect(() => codec.encode(value)).toThrow(expect.objectContaining({ code: 'ERR_CACHE_ENCODE' }));
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.from('hello')],
    ['an entry of another format', Buffer.from(`r1:${'x'.repeat(60)}`)],
    ['tags that are longer than the entry', Buffer.concat([Buffer.from('r3'), Buffer.alloc(41, 0x7f)])],
  ])('does not take %s for an entry', (_what, raw) => {
    expect(StoredEntry.parse(raw)).toBeUndefined();
  });
});
