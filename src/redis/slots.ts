import { CrossSlotError, type KeySlot } from './operations.errors.js';

/** Number of hash slots of a Redis Cluster. */
export const SLOT_COUNT = 16_384;

/** CRC16 of the XMODEM kind: polynomial 0x1021, start value 0. One table entry per byte value. */
const CRC16_TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  return crc & 0xffff;
});

function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) crc = ((crc << 8) & 0xffff) ^ CRC16_TABLE[((crc >> 8) ^ byte) & 0xff]!;
  return crc;
}

/**
 * Hash slot of a key, 0 to 16383. Keys with the same text between their first `{` and the next `}`
 * share a slot; an empty `{}` does not count. No round trip.
 *
 * @see https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
 * @example
 * slotOf('shop:cart:{42}:items') === slotOf('shop:order:{42}'); // true
 */
export function slotOf(key: string | Buffer): number {
  const bytes = typeof key === 'string' ? Buffer.from(key, 'utf8') : key;
  return crc16(hashedPart(bytes)) % SLOT_COUNT;
}

function hashedPart(bytes: Buffer): Buffer {
  const open = bytes.indexOf(0x7b);
  if (open < 0) return bytes;
  const close = bytes.indexOf(0x7d, open + 1);
  return close > open + 1 ? bytes.subarray(open + 1, close) : bytes;
}

/**
 * Sorts keys by hash slot, so that a command with several keys can be sent once per slot. The order
 * of the keys of one slot is kept. No round trip.
 */
export function groupBySlot<Key extends string | Buffer>(keys: Iterable<Key>): Map<number, Key[]> {
  const groups = new Map<number, Key[]>();
  for (const key of keys) {
    const slot = slotOf(key);
    const group = groups.get(slot);
    if (group) group.push(key);
    else groups.set(slot, [key]);
  }
  return groups;
}

/**
 * Checks that a Redis Cluster would accept these keys in one command, script or transaction, before
 * anything is sent. No round trip.
 *
 * @returns the slot they share; -1 for no keys
 * @throws {CrossSlotError} naming the keys, by pattern, that are not in the slot of the first one
 */
export function assertSameSlot(keys: readonly (string | Buffer)[]): number {
  const [first] = keys;
  if (first === undefined) return -1;
  const slot = slotOf(first);
  if (keys.every((key) => slotOf(key) === slot)) return slot;
  throw new CrossSlotError(keys.map(describeKey));
}

function describeKey(key: string | Buffer, index: number): KeySlot {
  return { index, slot: slotOf(key), pattern: keyPattern(String(key)) };
}

/**
 * Form of a key without what it was built from: the first two segments are kept when they are plain
 * words, everything else becomes `*`. Keys may hold e-mail addresses or tokens, and errors are logged.
 */
function keyPattern(key: string): string {
  const parts = key.split(':').slice(0, 8);
  return parts.map((part, at) => (at < 2 && /^[a-z][a-z-]{0,23}$/.test(part) ? part : mask(part))).join(':');
}

function mask(part: string): string {
  return part.startsWith('{') && part.endsWith('}') ? '{*}' : '*';
}
