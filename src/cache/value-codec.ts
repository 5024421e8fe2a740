import { promisify } from 'node:util';
import { brotliCompress, brotliDecompress, constants, gunzip, gzip } from 'node:zlib';
import { parse, stringify } from 'devalue';
import { jsonCodec } from '../common/index.js';
import { CacheEncodeError } from './cache.errors.js';
import type { CompressionOptions } from './cache.options.js';

/** Turns values into bytes and back. A `Packr` of msgpackr is one. */
export interface CacheCodec {
  /** Text is stored as UTF-8. Throws when the value has no representation. */
  encode(value: unknown): string | Uint8Array;
  /** Throws when the bytes are not what {@link encode} writes. */
  decode(bytes: Buffer): unknown;
}

/** How the bytes of an entry are to be read; stored with it. */
export const CODEC = Object.freeze({ json: 0, devalue: 1, custom: 2 });
/** Bits beside the codec. */
export const GZIP = 0x10;
export const BROTLI = 0x20;
const CODEC_BITS = 0x0f;

/** A value as bytes, and how to read them. A class for the reason of `listOf`. */
export class EncodedValue {
  constructor(
    readonly flags: number,
    readonly bytes: string | Uint8Array,
  ) {}
}

const compressors = { gzip: promisify(gzip), brotli: promisify(brotliCompress) };
const gunzipBytes = promisify(gunzip);
const brotliBytes = promisify(brotliDecompress);
/** Highest brotli qualities cost more time than a cache saves. */
const BROTLI_OPTIONS = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } };
/** Encodes and decodes the values of one cache. */
export class ValueCodec {
  constructor(
    private readonly custom: CacheCodec | undefined,
    private readonly compression: Readonly<Required<CompressionOptions>> | undefined,
    /** What a compressed value may grow to when it is read; more is not ours. */
    private readonly maxBytes: number,
  ) {}

  /** @throws {CacheEncodeError} when the value has no representation */
  encode(value: unknown): EncodedValue {
    try {
      return this.custom ? this.encodeCustom(value, this.custom) : encodeDefault(value);
    } catch (cause) {
      throw refusal(value, cause);
    }
  }

  /** Compresses what is long enough; anything else is handed back at once. */
  compress(encoded: EncodedValue): EncodedValue | Promise<EncodedValue> {
    const { compression } = this;
    if (!compression || encoded.bytes.length < compression.threshold) return encoded;
    // It could not be read again.
    if (Buffer.byteLength(encoded.bytes) > this.maxBytes) return encoded;
    return compress(encoded, compression.algorithm);
  }

  /**
   * Makes the bytes of an entry what they were before {@link compress}.
   *
   * @returns a promise for a value that is compressed; it rejects when it cannot be read, or is too large
   */
  decompress(flags: number, bytes: Buffer): Buffer | Promise<Buffer> {
    return flags & (GZIP | BROTLI) ? this.unpack(flags, bytes) : bytes;
  }

  /**
   * Reads a value from bytes that {@link decompress} gave.
   *
   * @throws when the bytes cannot be read
   */
  decode(flags: number, bytes: Buffer): unknown {
    switch (flags & CODEC_BITS) {
      case CODEC.json:
        if (this.custom) break;
        return jsonCodec.decode(bytes.toString('utf8'));
      case CODEC.devalue:
        if (this.custom) break;
        return parse(bytes.toString('utf8'), REVIVERS);
      case CODEC.custom:
        if (this.custom) return this.custom.decode(bytes);
    }
    throw new TypeError('The entry was written by another codec');
  }

  private async unpack(flags: number, bytes: Buffer): Promise<Buffer> {
    const limit = { maxOutputLength: this.maxBytes };
    return flags & GZIP ? gunzipBytes(bytes, limit) : brotliBytes(bytes, limit);
  }

  private encodeCustom(value: unknown, codec: CacheCodec): EncodedValue {
    const bytes: unknown = codec.encode(value);
    if (typeof bytes === 'string' || bytes instanceof Uint8Array || isBytes(bytes)) {
      return new EncodedValue(CODEC.custom, bytes);
    }
    throw new CacheEncodeError(typeof value);
  }
}

/** Errors of codecs hold the value they refuse, and may quote it: only where it stands is told. */
function refusal(value: unknown, cause: unknown): CacheEncodeError {
  if (cause instanceof CacheEncodeError) return cause;
  const { name, path } = cause as { name?: unknown; path?: unknown };
  const where = typeof path === 'string' && path !== '' ? ` at ${path}` : '';
  return new CacheEncodeError(typeof value, { cause: new Error(`${String(name)}${where}`) });
}

async function compress(encoded: EncodedValue, algorithm: 'gzip' | 'brotli'): Promise<EncodedValue> {
  const bytes =
    algorithm === 'gzip'
      ? await compressors.gzip(encoded.bytes)
      : await compressors.brotli(encoded.bytes, BROTLI_OPTIONS);
  if (bytes.length >= Buffer.byteLength(encoded.bytes)) return encoded;
  return new EncodedValue(encoded.flags | (algorithm === 'gzip' ? GZIP : BROTLI), bytes);
}

/** JSON where it is exact, because it is twice as fast; devalue for everything else. */
function encodeDefault(value: unknown): EncodedValue {
  if (isPlainJson(value, 0)) return new EncodedValue(CODEC.json, JSON.stringify(value));
  return new EncodedValue(CODEC.devalue, stringify(value, REDUCERS));
}

/** Deeper values go to devalue, which also finds cycles. */
const MAX_DEPTH = 64;

/** Whether JSON gives the same value back. */
function isPlainJson(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true;
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0);
    case 'object':
      return value === null || (depth < MAX_DEPTH && isPlainObject(value, depth));
    default:
      return false;
  }
}

function isPlainObject(value: object, depth: number): boolean {
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at += 1) if (!isPlainJson(value[at], depth + 1)) return false;
    return true;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  // Objects of another realm (tests, vm) have another Object.prototype; it is the one without a parent.
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) return false;
  for (const key in value) {
    if (key === '__proto__' || key === 'toJSON') return false;
    if (!isPlainJson((value as Record<string, unknown>)[key], depth + 1)) return false;
  }
  return true;
}

function isBytes(value: unknown): value is Uint8Array {
  return ArrayBuffer.isView(value) && Object.prototype.toString.call(value) === '[object Uint8Array]';
}

/** What devalue knows by itself; instances of other classes are stored as their own properties. */
const KNOWN = new Set([
  'Array',
  'Date',
  'Map',
  'Set',
  'RegExp',
  'URL',
  'URLSearchParams',
  'BigInt',
  'ArrayBuffer',
  // Boxed, which devalue takes out of their boxes.
  'Number',
  'String',
  'Boolean',
]);

const REDUCERS = {
  Buffer: (value: unknown) => Buffer.isBuffer(value) && value.toString('base64'),
  Instance: (value: unknown) => isInstance(value) && ownProperties(value),
};

const REVIVERS = {
  Buffer: (text: string) => Buffer.from(text, 'base64'),
  Instance: (properties: unknown) => properties,
};

function isInstance(value: unknown): value is object {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null || Object.getPrototypeOf(prototype) === null) return false;
  const tag = Object.prototype.toString.call(value).slice(8, -1);
  return !KNOWN.has(tag) && !tag.startsWith('Temporal.') && !(value instanceof Promise);
}

/** As JSON does: what the object says about itself, or its own properties. */
function ownProperties(value: object): unknown {
  const { toJSON } = value as { toJSON?: unknown };
  return typeof toJSON === 'function' ? (toJSON as () => unknown).call(value) : { ...value };
}
