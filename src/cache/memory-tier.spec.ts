import { beforeEach, describe, expect, it } from '@jest/globals';
import { encodeBody, StoredEntry } from './entry-format.js';
import { MemoryTier, type CopyReader } from './memory-tier.js';
import { ValueCodec } from './value-codec.js';

const HOUR_US = 3_600_000_000;
const NOW_US = 1e15;
const READER: CopyReader = { version: 0, codec: new ValueCodec(undefined, undefined, 1e6) };
const ALL = 'all';

/** An entry as the server keeps it, fresh for an hour unless told otherwise. */
function entry(freshUs = HOUR_US, text = '1'): StoredEntry {
  const head = Buffer.alloc(26);
  head.write('r3', 0);
  head.writeDoubleLE(NOW_US, 2);
  head.writeDoubleLE(NOW_US + freshUs, 10);
  head.writeDoubleLE(NOW_US + freshUs + HOUR_US, 18);
  const body = encodeBody({ flags: 0, version: 0, loadMs: 0, tags: [] }, text);
  return StoredEntry.parse(Buffer.concat([head, Buffer.from(body)]))!;
}

describe('MemoryTier', () => {
  let tier: MemoryTier;

  const open = (options: Partial<ConstructorParameters<typeof MemoryTier>[0]> = {}): MemoryTier => {
    const opened = new MemoryTier({
      maxEntries: 100,
      maxBytes: 1_000_000,
      ttlMs: 60_000,
      freeze: false,
      ...options,
    });
    opened.arm();
    return opened;
  };
  /** A read from its beginning to the copy. */
  const read = (key: string, value: unknown, stored = entry(), signals: string[] = [ALL], size = 100): void =>
    tier.keep(tier.begin(key), value, stored, { nowUs: NOW_US, signals, reader: READER, size });
  const fresh = (key: string): unknown => tier.fresh(key, READER)?.value;

  beforeEach(() => {
    tier = open();
  });

  it('serves what was read', () => {
    read('k', 'value');

    expect(fresh('k')).toBe('value');
    expect(fresh('other')).toBeUndefined();
  });

  it('serves nothing while changes are not heard of, nor afterwards what is from before', () => {
    read('k', 'old');
    tier.disarm();
    expect(fresh('k')).toBeUndefined();
    tier.arm();

    expect(fresh('k')).toBeUndefined();
    // To be compared with the server, which may find that it is still right.
    expect(tier.find('k', READER)?.value).toBe('old');
    tier.confirm(tier.begin('k'), tier.find('k', READER)!, NOW_US);
    expect(fresh('k')).toBe('old');
  });

  it.each<[string, () => void, unknown]>([
    ['the key changed', () => tier.changed('k'), undefined],
    ['another key changed', () => tier.changed('other'), 'read'],
    ['its tag was invalidated', () => tier.signalled('tag'), undefined],
    ['another tag was invalidated', () => tier.signalled('other'), 'read'],
    ['everything was invalidated', () => tier.signalled(ALL), undefined],
    ['everything may have changed', () => tier.suspectAll(), undefined],
    ['the connection was lost and is back', () => (tier.disarm(), tier.arm()), undefined],
  ])('when %s during a read, what is read is served only if it is right', (_what, change, expected) => {
    const ticket = tier.begin('k');
    change();
    tier.keep(ticket, 'read', entry(), { nowUs: NOW_US, signals: [ALL, 'tag'], reader: READER, size: 100 });

    expect(fresh('k')).toBe(expected);
  });

  it('hears of a change for each of several reads of one key', () => {
    const [first, second] = [tier.begin('k'), tier.begin('k')];
    tier.changed('k');
    const third = tier.begin('k');

    expect([tier.end(first), tier.end(second), tier.end(third)]).toEqual([false, false, true]);
  });

  it('voids by tag what was read before, and not what is read after', () => {
    read('k', 'old', entry(), [ALL, 'tag']);
    tier.signalled('tag');
    expect(fresh('k')).toBeUndefined();
    expect(tier.find('k', READER)).toBeUndefined();

    read('k', 'new', entry(), [ALL, 'tag']);
    expect(fresh('k')).toBe('new');
  });

  it('voids everything older when there are more tags than it remembers', () => {
    read('k', 'old');
    for (let signal = 0; signal <= 10_000; signal += 1) tier.signalled(`tag-${signal}`);

    expect(fresh('k')).toBeUndefined();
  });

  it('trusts a copy for no longer than its entry is fresh, counted from the time of asking', () => {
    read('ended', 'value', entry(0));
    read('fresh', 'value', entry(HOUR_US));

    expect([fresh('ended'), fresh('fresh')]).toEqual([undefined, 'value']);
    expect(tier.find('ended', READER)?.value).toBe('value');
  });

  it('trusts a copy for no longer than its own time to live', () => {
    tier = open({ ttlMs: 0 });
    read('k', 'value');

    expect(fresh('k')).toBeUndefined();
  });

  it('shows copies only to those who read them in the same way', () => {
    read('k', 'value');

    expect(tier.fresh('k', { ...READER, version: 1 })).toBeUndefined();
    expect(tier.find('k', { ...READER, codec: new ValueCodec(undefined, undefined, 1) })).toBeUndefined();
    expect(fresh('k')).toBe('value');
  });

  it('keeps as many copies as it may, those that were used last', () => {
    tier = open({ maxEntries: 2 });
    read('a', 1);
    read('b', 2);
    fresh('a');
    read('c', 3);

    expect([fresh('a'), fresh('b'), fresh('c'), tier.size]).toEqual([1, undefined, 3, 2]);
  });

  it('keeps as many bytes as it may', () => {
    tier = open({ maxBytes: 2_000 });
    read('a', 1, entry(), [ALL], 900);
    read('b', 2, entry(), [ALL], 900);
    read('too large', 3, entry(), [ALL], 5_000);

    expect([fresh('a'), fresh('b'), fresh('too large')]).toEqual([undefined, 2, undefined]);
    expect(tier.bytes).toBeLessThanOrEqual(2_000);
  });

  it('freezes copies where it is told to', () => {
    tier = open({ freeze: true });
    const value = { list: [{ a: 1 }] };
    read('k', value);

    expect(() => value.list[0]!.a++).toThrow(TypeError);
  });
});
