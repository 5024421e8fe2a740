/** Turns values into text for Redis and back. */
export interface Codec {
  /** @throws {TypeError} when the value has no representation in this codec */
  encode(value: unknown): string;
  /** @throws {SyntaxError} when the text was not written by this codec */
  decode(text: string): unknown;
}

/**
 * JSON. `null` round-trips; `undefined`, a function or a symbol is refused as a value, and inside one
 * it is left out as `JSON.stringify` does; keys that would reach an object's prototype are dropped
 * when reading. Errors do not quote the text.
 */
export const jsonCodec: Codec = Object.freeze({
  encode(value: unknown): string {
    const text = JSON.stringify(value) as string | undefined;
    if (text === undefined) throw new TypeError(`JSON cannot represent a value of type ${typeof value}`);
    return text;
  },
  decode(text: string): unknown {
    const hasPrototypeKey = text.includes('"__proto__"') || text.includes('\\u');
    try {
      return hasPrototypeKey ? JSON.parse(text, dropPrototypeKeys) : JSON.parse(text);
    } catch {
      // The parser's own message quotes the stored text.
      throw new SyntaxError('The stored text is not JSON');
    }
  },
});

function dropPrototypeKeys(key: string, value: unknown): unknown {
  return key === '__proto__' ? undefined : value;
}
