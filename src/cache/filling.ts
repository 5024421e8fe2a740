import type { EntryPlace } from './cache-core.js';
import type { ResolvedEntryOptions } from './entry.options.js';
import { encodeBody, type EntryDetails } from './entry-format.js';
import { Filling, UNKEPT, type Lifetime } from './remote-tier.js';
import type { EncodedValue } from './value-codec.js';

/** What a load says about its value. */
export interface LoadedDetails extends Partial<Pick<EntryDetails, 'loadMs' | 'validators'>> {
  /** In place of those of the options. */
  readonly tags?: readonly string[] | undefined;
  /** In place of the one of the options. */
  readonly ttlMs?: number | undefined;
}

const SET: LoadedDetails = Object.freeze({});

/** The entry of a value that was encoded, as it is to be written. */
export function fillingOf(
  { view, key }: Pick<EntryPlace, 'view' | 'key'>,
  value: unknown,
  { flags, bytes }: EncodedValue,
  options: ResolvedEntryOptions,
  loaded = SET,
): Filling {
  const { loadMs = 0, tags = options.tags, validators, ttlMs } = loaded;
  const body = encodeBody({ flags, version: view.version, loadMs, tags, validators }, bytes);
  return new Filling(key, body, lifetimeOf(options, value, ttlMs));
}

/** Stands for a value that is not kept: the server compares its tags. */
export function unkeptFilling(
  { view, key }: Pick<EntryPlace, 'view' | 'key'>,
  tags: readonly string[],
): Filling {
  return new Filling(key, encodeBody({ flags: 0, version: view.version, loadMs: 0, tags }, ''), UNKEPT);
}

/** How long a value is kept, drawn anew for each write so that values written together end apart. */
function lifetimeOf(options: ResolvedEntryOptions, value: unknown, ttlMs?: number): Lifetime {
  const { jitter, graceMs, revalidateMs, notFoundTtlMs } = options;
  const wholeMs = ttlMs ?? (value === null ? (notFoundTtlMs ?? options.ttlMs) : options.ttlMs);
  const drawnMs = jitter === 0 ? wholeMs : wholeMs * (1 - Math.random() * jitter);
  return { ttlMs: Math.max(1, Math.round(drawnMs)), keepMs: Math.max(graceMs, revalidateMs) };
}
