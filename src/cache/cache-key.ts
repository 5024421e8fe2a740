import { ConfigurationError, escapeKeyPart } from '../common/index.js';
import { defineKeyspace, slotOf } from '../redis/index.js';

/**
 * Key of an entry within its namespace: text, or parts in order. Parts never run together:
 * `['a', 'b']`, `['a/b']` and `'a:b'` are three different keys. A number equals its text.
 */
export type CacheKey = string | readonly (string | number)[];

/** Entries, under the prefix whose changes tracking tells of. */
export const CACHE_ENTRY_KEYSPACE = defineKeyspace({
  capability: 'cache',
  name: 'entry',
  routing: 'namespace',
  parts: ['key'],
  ttl: 'per-call',
  value: 'bytes',
  description: 'Cached value: stamp, end of freshness and of life, tags, encoded value',
});

/** Written when a tag is invalidated, only so that tracking tells of it. */
export const CACHE_TAG_KEYSPACE = defineKeyspace({
  capability: 'cache',
  name: 'tag',
  routing: 'namespace',
  parts: ['tag'],
  ttl: '1h',
  value: 'string',
  description: 'Tells processes that a tag was invalidated',
});

/** Written when a namespace is cleared, only so that tracking tells of it. */
export const CACHE_ALL_KEYSPACE = defineKeyspace({
  capability: 'cache',
  name: 'all',
  routing: 'namespace',
  parts: [],
  ttl: '1h',
  value: 'string',
  description: 'Tells processes that a namespace was cleared, or that its server has changed',
});

/** Birth and invalidations of a namespace. Not tracked: it changes with many writes. */
export const CACHE_STATE_KEYSPACE = defineKeyspace({
  capability: 'cache-sync',
  name: 'state',
  routing: 'namespace',
  parts: [],
  ttl: 'none',
  value: 'hash',
  description: 'Birth, clock and invalidated tags of a namespace',
});

/** Rights to load. */
export const CACHE_LEASE_KEYSPACE = defineKeyspace({
  capability: 'cache-sync',
  name: 'lease',
  routing: 'namespace',
  parts: ['key'],
  ttl: 'per-call',
  value: 'string',
  description: 'Who loads an entry now, or that nobody may for a while',
});

/** All keyspaces of the cache. */
export const CACHE_KEYSPACES = Object.freeze([
  CACHE_ENTRY_KEYSPACE,
  CACHE_TAG_KEYSPACE,
  CACHE_ALL_KEYSPACE,
  CACHE_STATE_KEYSPACE,
  CACHE_LEASE_KEYSPACE,
]);

/** Start of all keys that tracking has to tell of. */
export function trackedPrefix(prefix: string): string {
  return `${prefix}:cache:`;
}

/** Most keys are plain words; they are used as they are. Everything else is escaped. */
const PLAIN = /^[A-Za-z0-9_.@=+,;!$&'()-]+$/;

/**
 * Turns a key into the last part of a Redis key.
 *
 * @throws {ConfigurationError} when the key, or a part of it, is empty or neither text nor a finite
 * number
 */
export function entryId(key: CacheKey): string {
  if (typeof key === 'string') return escapePart(key);
  if (!Array.isArray(key) || key.length === 0) throw unusable('it has no parts');
  let id = escapePart(key[0]);
  for (let at = 1; at < key.length; at += 1) id += `/${escapePart(key[at])}`;
  return id;
}

/**
 * Stands for empty text in a key that is made from the arguments of a method, where it is a value like any
 * other. In a key that is written by hand it is more likely an id that is missing.
 */
export const EMPTY_TEXT = Symbol('empty text') as unknown as string;

/** A missing id must not turn into a key that everybody without an id shares. */
function escapePart(part: unknown): string {
  if (typeof part === 'number' && Number.isFinite(part)) return String(part);
  // No other part gives this: in all others a `~` is followed by a digit.
  if (part === EMPTY_TEXT) return '~e';
  if (typeof part !== 'string') throw unusable(`a part is ${part === null ? 'null' : typeof part}`);
  if (PLAIN.test(part)) return part;
  if (part === '') throw unusable('a part is empty');
  // As in JSON Pointer (RFC 6901): the separator may occur in a part without ending it.
  return escapeKeyPart(part.replaceAll('~', '~0').replaceAll('/', '~1'));
}

function unusable(reason: string): ConfigurationError {
  return new ConfigurationError(
    `A cache key cannot be used: ${reason}; give non-empty text, or an array of non-empty text and finite numbers`,
  );
}

/** What the keys of a bucket begin with, up to the end of the hash tag. */
export function bucketPrefix(key: string): string {
  return key.slice(0, key.indexOf('}:') + 2);
}

/** What a key that is heard of stands for: an entry, a tag, or all entries of a bucket. */
export function kindOf(key: string): 'entry' | 'tag' | 'all' {
  const at = key.indexOf('}:') + 2;
  if (key.startsWith('entry:', at)) return 'entry';
  return key.startsWith('tag:', at) ? 'tag' : 'all';
}

/** Part of a namespace whose keys share a slot, so that a script may touch all of them. */
export class Bucket {
  /** What the keys of its entries and signals begin with. */
  readonly start: string;
  /** Key of the state. */
  readonly state: string;
  /** Signal of everything. */
  readonly all: string;
  /** Signals of an entry without tags. */
  readonly everything: readonly string[];
  /** Epoch of the connection in which the state was compared with the server; see `ServerIdentity`. */
  adoptedIn = -1;
  /** The comparison that is running. */
  adopting: Promise<void> | undefined;
  /** Invalidations that leave before anything else does; see `Invalidations`. */
  unsent: { leave(): void } | undefined;
  /** Hashes of the scripts that the server of this epoch has run for it. */
  readonly scripts = new Set<string>();
  private readonly entryPrefix: string;
  private readonly leasePrefix: string;

  constructor(
    private readonly prefix: string,
    private readonly routingId: string,
  ) {
    this.state = CACHE_STATE_KEYSPACE.key(prefix, routingId);
    this.all = CACHE_ALL_KEYSPACE.key(prefix, routingId);
    this.start = bucketPrefix(this.all);
    this.everything = [this.all];
    this.entryPrefix = CACHE_ENTRY_KEYSPACE.key(prefix, routingId, 'x').slice(0, -1);
    this.leasePrefix = CACHE_LEASE_KEYSPACE.key(prefix, routingId, 'x').slice(0, -1);
  }

  /** Key of an entry. */
  entry(id: string): string {
    return this.entryPrefix + id;
  }

  /** Key of the lease that belongs to the key of an entry. */
  lease(entry: string): string {
    return this.leasePrefix + entry.slice(this.entryPrefix.length);
  }

  /** Signal of a tag. */
  tag(tag: string): string {
    return CACHE_TAG_KEYSPACE.key(this.prefix, this.routingId, tag);
  }
}

/** A namespace and its buckets. */
export class CacheSpace {
  readonly buckets: readonly [Bucket, ...Bucket[]];

  /** @throws {ConfigurationError} when the name is not non-empty text */
  constructor(
    prefix: string,
    readonly name: string,
    count: number,
  ) {
    const id = typeof name === 'string' && name !== '' ? entryName(name) : escapePart(name);
    const bucket = (index: number): Bucket => new Bucket(prefix, count === 1 ? id : `${id}/${index}`);
    this.buckets = [bucket(0), ...Array.from({ length: count - 1 }, (_, index) => bucket(index + 1))];
  }

  /** The bucket an entry belongs to. */
  bucketOf(id: string): Bucket {
    const { buckets } = this;
    return buckets.length === 1 ? buckets[0] : buckets[slotOf(id) % buckets.length]!;
  }
}

function entryName(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}
