import { describe, expect, it } from '@jest/globals';
import { CrossSlotError } from './operations.errors.js';
import { assertSameSlot, groupBySlot, slotOf } from './slots.js';

describe('slotOf', () => {
  // 12739 is CRC16 of "123456789" in the Cluster specification; the others are CLUSTER KEYSLOT replies.
  it.each([
    ['123456789', 12739],
    ['foo', 12182],
    ['bar', 5061],
    ['somekey', 11058],
    ['', 0],
    ['{user1000}.following', 3443],
    ['{user1000}.followers', 3443],
    ['user1000', 3443],
  ])('puts %j into slot %i', (key, slot) => {
    expect(slotOf(key)).toBe(slot);
    expect(slotOf(Buffer.from(key))).toBe(slot);
  });

  it('takes the whole key when the hash tag is empty, and the first tag otherwise', () => {
    expect(slotOf('foo{}{bar}')).not.toBe(slotOf('bar'));
    expect(slotOf('foo{{bar}}zap')).toBe(slotOf('{bar'));
    expect(slotOf('foo{bar}{zap}')).toBe(slotOf('bar'));
    expect(slotOf('foo{bar')).not.toBe(slotOf('bar'));
  });
});

describe('groupBySlot', () => {
  it('groups keys and keeps their order', () => {
    const groups = groupBySlot(['{a}:1', '{b}:1', '{a}:2']);

    expect(groups.get(slotOf('a'))).toEqual(['{a}:1', '{a}:2']);
    expect(groups.get(slotOf('b'))).toEqual(['{b}:1']);
  });
});

describe('assertSameSlot', () => {
  it('returns the shared slot, or -1 for no keys', () => {
    expect(assertSameSlot(['{a}:1', 'x:{a}'])).toBe(slotOf('a'));
    expect(assertSameSlot([])).toBe(-1);
  });

  it('names the keys that differ by position and pattern, without their variable parts', () => {
    const check = () =>
      assertSameSlot(['shop:cart:{canary-1}', 'shop:cart:{canary-1}:x', 'shop:user:canary-2']);

    expect(check).toThrow(CrossSlotError);
    expect(check).toThrow(/1 of 3 keys.*shop:cart:\{\*\}.*#2 shop:user:\* \(slot \d+\)/);
    expect(check).not.toThrow(/canary/);
  });
});
