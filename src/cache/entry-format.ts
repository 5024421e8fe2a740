/** What a source says about the version of its answer; handed back to the next load. */
export interface EntryValidators {
  /** As the source gave it. */
  readonly etag?: string;
  /** Milliseconds since the Unix epoch. */
  readonly lastModified?: number;
}

/** What is stored beside the bytes of a value. */
export interface EntryDetails {
  readonly flags: number;
  readonly version: number;
  /** How long the load took, in milliseconds; 0 for a value that was set. */
  readonly loadMs: number;
  readonly tags: readonly string[];
  readonly validators?: EntryValidators | undefined;
}

/** Where the mark begins and ends: head without "r3", and 4 random bytes. */
const MARK_FROM = 2;
const MARK_TO = 30;
const FLAGS_AT = 30;
const TAG_COUNT_AT = 31;
const VERSION_AT = 32;
const LOAD_MS_AT = 35;
const TAG_BYTES_AT = 40;
const TAGS_AT = 43;
const HEAD_0 = 0x72;
const HEAD_1 = 0x33;
/** Bit of the flags: validators follow the tags. */
const HAS_VALIDATORS = 0x40;
/** A byte carries 7 bits of a number, so that it is one byte as UTF-8 too. */
const BASE = 128;
/** Bytes before a tag, and before the validators, that hold their length. */
const TAG_LENGTH_BYTES = 2;
const EXTRA_LENGTH_BYTES = 3;

/**
 * Builds an entry without the head, which a script writes by the server's clock. What stands before the value is
 * ASCII, so that a value that is text stays text all the way to the socket: bytes among the arguments made a
 * write a fifth dearer for the client, most of it garbage.
 *
 * The layout is the one of scripts/_head.lua.
 */
export function encodeBody(details: EntryDetails, bytes: string | Uint8Array): string | Buffer {
  const { tags, validators } = details;
  const named = tags.length === 0 ? '' : tags.map((tag) => sized(tag, TAG_LENGTH_BYTES)).join('');
  const extra = validators ? sized(JSON.stringify(validators), EXTRA_LENGTH_BYTES) : '';
  const { flags, version } = details;
  const loadMs = Math.min(Math.round(details.loadMs), MAX_LOAD_MS);
  const tagBytes = named === '' ? 0 : Buffer.byteLength(named);
  const random = Math.floor(Math.random() * BASE ** 4);
  // One call: of many short pieces of text the client would have to make one, for every write.
  const fixed = String.fromCharCode(
    digit(random, 3),
    digit(random, 2),
    digit(random, 1),
    digit(random, 0),
    flags | (extra === '' ? 0 : HAS_VALIDATORS),
    tags.length,
    digit(version, 2),
    digit(version, 1),
    digit(version, 0),
    digit(loadMs, 4),
    digit(loadMs, 3),
    digit(loadMs, 2),
    digit(loadMs, 1),
    digit(loadMs, 0),
    digit(tagBytes, 2),
    digit(tagBytes, 1),
    digit(tagBytes, 0),
  );
  const start = fixed + named + extra;
  if (typeof bytes === 'string') return start + bytes;
  return Buffer.concat([Buffer.from(start, 'utf8'), bytes]);
}

const MAX_LOAD_MS = 2 ** 32 - 1;

/** Powers of {@link BASE}: to work them out costs more than to look them up. */
const POWERS = [1, BASE, BASE ** 2, BASE ** 3, BASE ** 4] as const;

/** The digit of a number that stands for so many times 7 bits. */
function digit(value: number, place: number): number {
  return Math.floor(value / POWERS[place]!) % BASE;
}

/** Text behind its length. */
function sized(text: string, lengthBytes: number): string {
  const length = Buffer.byteLength(text);
  if (length >= BASE ** lengthBytes) throw new RangeError('too long to be stored beside a value');
  let start = '';
  for (let place = lengthBytes - 1; place >= 0; place -= 1)
    start += String.fromCharCode(digit(length, place));
  return start + text;
}

function readDigits(raw: Buffer, at: number, bytes: number): number {
  let value = 0;
  for (let index = at; index < at + bytes; index += 1) value = value * BASE + raw[index]!;
  return value;
}

/** An entry as it is stored, read field by field when asked. */
export class StoredEntry {
  private constructor(
    private readonly raw: Buffer,
    private readonly afterTags: number,
  ) {}

  /** `undefined` for what is not an entry of this format. */
  static parse(raw: Buffer): StoredEntry | undefined {
    const isEntry = raw.length >= TAGS_AT && raw[0] === HEAD_0 && raw[1] === HEAD_1;
    if (!isEntry) return undefined;
    const afterTags = TAGS_AT + readDigits(raw, TAG_BYTES_AT, TAGS_AT - TAG_BYTES_AT);
    return afterTags <= raw.length ? new StoredEntry(raw, afterTags) : undefined;
  }

  /** Stamp of the write or the load, in microseconds of the server's clock. */
  get stampUs(): number {
    return this.raw.readDoubleLE(2);
  }

  /** End of freshness, in microseconds of the server's clock. */
  get softUs(): number {
    return this.raw.readDoubleLE(10);
  }

  /** End of life, in microseconds of the server's clock. */
  get hardUs(): number {
    return this.raw.readDoubleLE(18);
  }

  /** Tells one writing from another; a copy that does not keep the rest alive. */
  get mark(): Buffer {
    return Buffer.from(this.raw.subarray(MARK_FROM, MARK_TO));
  }

  /** How to read the bytes. */
  get flags(): number {
    return this.raw[FLAGS_AT]! & ~HAS_VALIDATORS;
  }

  /** Version of the shape of the value. */
  get version(): number {
    return readDigits(this.raw, VERSION_AT, LOAD_MS_AT - VERSION_AT);
  }

  /** How long the load took, in milliseconds. */
  get loadMs(): number {
    return readDigits(this.raw, LOAD_MS_AT, TAG_BYTES_AT - LOAD_MS_AT);
  }

  /** Tags it was written with. */
  get tags(): readonly string[] {
    const count = this.raw[TAG_COUNT_AT]!;
    if (count === 0) return NO_TAGS;
    const tags: string[] = [];
    let at = TAGS_AT;
    for (let index = 0; index < count; index += 1) {
      const from = at + TAG_LENGTH_BYTES;
      const to = from + readDigits(this.raw, at, TAG_LENGTH_BYTES);
      tags.push(this.raw.toString('utf8', from, to));
      at = to;
    }
    return tags;
  }

  /**
   * What the source said about the version of the value.
   *
   * @throws when they cannot be read
   */
  get validators(): EntryValidators {
    if (!this.hasValidators) return NO_VALIDATORS;
    const from = this.afterTags + EXTRA_LENGTH_BYTES;
    const validators: unknown = JSON.parse(this.raw.toString('utf8', from, this.valueAt));
    if (typeof validators === 'object' && validators !== null) return validators;
    throw new TypeError('The validators of the entry are no object');
  }

  /** Encoded value; shares memory with the reply. */
  get bytes(): Buffer {
    return this.raw.subarray(this.valueAt);
  }

  /** Size of the whole entry. */
  get size(): number {
    return this.raw.length;
  }

  private get hasValidators(): boolean {
    return (this.raw[FLAGS_AT]! & HAS_VALIDATORS) !== 0;
  }

  private get valueAt(): number {
    const at = this.afterTags;
    return this.hasValidators ? at + EXTRA_LENGTH_BYTES + readDigits(this.raw, at, EXTRA_LENGTH_BYTES) : at;
  }
}

const NO_TAGS: readonly string[] = Object.freeze([]);
const NO_VALIDATORS: EntryValidators = Object.freeze({});

/** Stamp of what may not be readable otherwise. */
export function stampOf(raw: Buffer | null | 1): number | undefined {
  const stampUs = Buffer.isBuffer(raw) ? StoredEntry.parse(raw)?.stampUs : undefined;
  return Number.isSafeInteger(stampUs) ? stampUs : undefined;
}
