import {
  noteFailure,
  receive,
  type CacheCore,
  type CacheView,
  type EntryPlace,
  type FoundValue,
} from './cache-core.js';
import type { Bucket } from './cache-key.js';
import { StoredEntry } from './entry-format.js';
import type { LocalState } from './local-states.js';
import { toEntry, type RawRead } from './remote-tier.js';

/** Reads without loading. Nothing here rejects: what Redis fails to do is a miss, counted and logged. */
export class CacheReads {
  constructor(private readonly core: CacheCore) {}

  /** Reads an entry, fresh or stale, from Redis. */
  async one(place: EntryPlace, useMemory: boolean, timeoutMs: number): Promise<FoundValue | undefined> {
    const { remote, observers } = this.core;
    const memory = useMemory ? this.core.memory : undefined;
    const before = memory?.find(place.key, place.view);
    const ticket = memory?.begin(place.key);
    let reply: RawRead;
    try {
      const local = this.core.states?.of(place.bucket);
      reply = local
        ? await this.readLocally(place, local, timeoutMs)
        : await remote.read(place.bucket, place.key, timeoutMs, before?.entry.mark);
    } catch (error) {
      if (ticket) memory!.end(ticket);
      noteFailure(observers, 'read', 'readFailures', error);
      return undefined;
    }
    observers.log.succeeded('read');
    const copy = ticket && { ticket, before };
    const received = receive(this.core, place, reply[0], toEntry(reply[1]), copy);
    const found = received instanceof Promise ? await received : received;
    observers.recorder.count(found !== undefined && found.staleForUs < 0 ? 'hits' : 'misses');
    return found;
  }

  /** A plain GET, whose answer is checked here. */
  private async readLocally(place: EntryPlace, state: LocalState, timeoutMs: number): Promise<RawRead> {
    const { bucket, key } = place;
    const { remote, states } = this.core;
    const raw = await remote.readRaw(bucket, key, timeoutMs);
    // More than tags may have changed meanwhile, and the copy does not know of it.
    const isComparable = raw !== undefined && states?.of(bucket) === state;
    if (!isComparable) return remote.read(bucket, key, timeoutMs);
    const entry = raw && StoredEntry.parse(raw);
    if (!entry) return [state.nowUs, raw];
    const judgement = states.judge(bucket, state, entry);
    if (judgement === 'void') return [state.nowUs, null];
    // The server knows when it became stale.
    return judgement === 'as-written' ? [state.nowUs, raw] : remote.read(bucket, key, timeoutMs);
  }

  /** Reads entries that are fresh, one script per bucket. @returns the values found, by key in Redis */
  async many(
    view: CacheView,
    places: readonly EntryPlace[],
    useMemory: boolean,
    timeoutMs: number,
  ): Promise<Map<string, unknown>> {
    const found = new Map<string, unknown>();
    const missing = useMemory
      ? takeCopies(this.core, places, ({ key }, value) => found.set(key, value))
      : places;
    const groups = groupByBucket(missing);
    await Promise.all(
      [...groups].map(([bucket, group]) => this.group(bucket, group, useMemory, timeoutMs, found)),
    );
    return found;
  }

  private async group(
    bucket: Bucket,
    group: readonly EntryPlace[],
    useMemory: boolean,
    timeoutMs: number,
    found: Map<string, unknown>,
  ): Promise<void> {
    const { remote, observers } = this.core;
    const memory = useMemory ? this.core.memory : undefined;
    const tickets = memory && group.map(({ key }) => memory.begin(key));
    let reply: Awaited<ReturnType<typeof remote.readMany>>;
    try {
      reply = await remote.readMany(
        bucket,
        group.map(({ key }) => key),
        timeoutMs,
      );
    } catch (error) {
      for (const ticket of tickets ?? []) memory!.end(ticket);
      noteFailure(observers, 'read', 'readFailures', error);
      observers.recorder.add('readFailures', group.length - 1);
      return;
    }
    observers.log.succeeded('read');
    const { nowUs, entries } = reply;
    let hits = 0;
    for (const [index, place] of group.entries()) {
      const entry = entries[index] ?? undefined;
      const ticket = tickets?.[index];
      const copy = ticket && { ticket };
      const received = receive(this.core, place, nowUs, entry, copy);
      const value = received instanceof Promise ? await received : received;
      if (!value || value.staleForUs >= 0) continue;
      found.set(place.key, value.value);
      hits += 1;
    }
    observers.recorder.add('hits', hits);
    observers.recorder.add('misses', group.length - hits);
  }
}

/** Takes what may be served from memory, and counts it. @returns the places without such a copy */
export function takeCopies<Place extends EntryPlace>(
  { memory, observers }: CacheCore,
  places: readonly Place[],
  take: (place: Place, value: unknown) => void,
): readonly Place[] {
  if (!memory) return places;
  const missing: Place[] = [];
  for (const place of places) {
    const copy = memory.fresh(place.key, place.view);
    if (copy) take(place, copy.value);
    else missing.push(place);
  }
  const hits = places.length - missing.length;
  observers.recorder.add('hits', hits);
  observers.recorder.add('memoryHits', hits);
  return missing;
}

/** Keys of one script; its arguments have to fit on the stack of the interpreter. */
const MAX_KEYS = 500;

/** Sorts entries by bucket, in groups that one script can take. */
export function groupByBucket<Place extends EntryPlace>(
  places: readonly Place[],
  most = MAX_KEYS,
): [Bucket, Place[]][] {
  const open = new Map<Bucket, Place[]>();
  const groups: [Bucket, Place[]][] = [];
  for (const place of places) {
    let group = open.get(place.bucket);
    if (!group || group.length === most) {
      group = [];
      open.set(place.bucket, group);
      groups.push([place.bucket, group]);
    }
    group.push(place);
  }
  return groups;
}
