import type { Codec } from '../common/index.js';
import { CacheEncodeError } from './cache.errors.js';

/** Starts every entry. Another version, or text something else wrote, does not match. */
const FORMAT = 'r1:';

/** A value read from the cache; boxed, because `null` is a value. */
export interface CacheEntry {
  readonly value: unknown;
}

/**
 * Turns a value into the text that is stored.
 *
 * @throws {CacheEncodeError} when the codec refuses the value
 */
export function encodeEntry(value: unknown, codec: Codec): string {
  let text: unknown;
  try {
    text = codec.encode(value);
  } catch (cause) {
    throw new CacheEncodeError(typeof value, { cause });
  }
  if (typeof text !== 'string') throw new CacheEncodeError(typeof value);
  return FORMAT + text;
}

/** Reads stored text; `undefined` when it is not an entry of this format or the codec fails on it. */
export function decodeEntry(text: string, codec: Codec): CacheEntry | undefined {
  if (!text.startsWith(FORMAT)) return undefined;
  try {
    const value = codec.decode(text.slice(FORMAT.length));
    return value === undefined ? undefined : { value };
  } catch {
    return undefined;
  }
}
