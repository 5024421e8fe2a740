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

/** Head that the script writes: "r2", stamp, end of freshness, end of life. */
const HEAD_BYTES = 26;
/** Where the mark begins and ends: head without "r2", and 4 random bytes. */
const MARK_FROM = 2;
const MARK_TO = 30;
const TAGS_AT = 40;
const HEAD_0 = 0x72;
const HEAD_1 = 0x32;
/** Bit of the flags: validators follow the tags. */
const HAS_VALIDATORS = 0x80;

/**
 * Builds an entry without the head, which a script writes by the server's clock.
 *
 * The layout is the one of scripts/_entry.lua.
 */
export function encodeBody(details: EntryDetails, bytes: string | Uint8Array): Buffer {
  const { tags, validators } = details;
  const extra = validators ? JSON.stringify(validators) : '';
  const tagBytes = tags.reduce((sum, tag) => sum + 1 + Buffer.byteLength(tag), 0);
  const extraBytes = extra === '' ? 0 : 2 + Buffer.byteLength(extra);
  const length = typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length;
  const fixed = TAGS_AT - HEAD_BYTES;
  const body = Buffer.allocUnsafe(fixed + tagBytes + extraBytes + length);
  body.writeUInt32LE((Math.random() * 0x1_0000_0000) >>> 0, 0);
  body[4] = details.flags | (extra === '' ? 0 : HAS_VALIDATORS);
  body[5] = tags.length;
  body.writeUInt16LE(details.version, 6);
  body.writeUInt32LE(Math.min(Math.round(details.loadMs), 0xffff_ffff), 8);
  body.writeUInt16LE(tagBytes, 12);
  let at = fixed;
  for (const tag of tags) {
    const written = body.write(tag, at + 1, 'utf8');
    body[at] = written;
    at += written + 1;
  }
  if (extra !== '') {
    body.writeUInt16LE(extraBytes - 2, at);
    at += 2 + body.write(extra, at + 2, 'utf8');
  }
  if (typeof bytes === 'string') body.write(bytes, at, 'utf8');
  else body.set(bytes, at);
  return body;
}

/** An entry as it is stored, read field by field when asked. */
export class StoredEntry {
  private constructor(private readonly raw: Buffer) {}

  /** `undefined` for what is not an entry of this format. */
  static parse(raw: Buffer): StoredEntry | undefined {
    const isEntry = raw.length >= TAGS_AT && raw[0] === HEAD_0 && raw[1] === HEAD_1;
    return isEntry && TAGS_AT + raw.readUInt16LE(38) <= raw.length ? new StoredEntry(raw) : undefined;
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
    return this.raw[30]! & ~HAS_VALIDATORS;
  }

  /** Version of the shape of the value. */
  get version(): number {
    return this.raw.readUInt16LE(32);
  }

  /** How long the load took, in milliseconds. */
  get loadMs(): number {
    return this.raw.readUInt32LE(34);
  }

  /** Tags it was written with. */
  get tags(): readonly string[] {
    const count = this.raw[31]!;
    if (count === 0) return NO_TAGS;
    const tags: string[] = [];
    let at = TAGS_AT;
    for (let index = 0; index < count; index += 1) {
      const length = this.raw[at]!;
      tags.push(this.raw.toString('utf8', at + 1, at + 1 + length));
      at += length + 1;
    }
    return tags;
  }

  /**
   * What the source said about the version of the value.
   *
   * @throws when they cannot be read
   */
  get validators(): EntryValidators {
    if (!(this.raw[30]! & HAS_VALIDATORS)) return NO_VALIDATORS;
    const at = this.afterTags;
    const length = this.raw.readUInt16LE(at);
    const validators: unknown = JSON.parse(this.raw.toString('utf8', at + 2, at + 2 + length));
    if (typeof validators === 'object' && validators !== null) return validators;
    throw new TypeError('The validators of the entry are no object');
  }

  /** Encoded value; shares memory with the reply. */
  get bytes(): Buffer {
    const at = this.afterTags;
    return this.raw.subarray(this.raw[30]! & HAS_VALIDATORS ? at + 2 + this.raw.readUInt16LE(at) : at);
  }

  /** Size of the whole entry. */
  get size(): number {
    return this.raw.length;
  }

  private get afterTags(): number {
    return TAGS_AT + this.raw.readUInt16LE(38);
  }
}

const NO_TAGS: readonly string[] = Object.freeze([]);
const NO_VALIDATORS: EntryValidators = Object.freeze({});
