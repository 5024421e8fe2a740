import {
  foundInMemory,
  noteFailure,
  receive,
  type CacheCore,
  type CacheView,
  type EntryPlace,
  type FoundValue,
} from './cache-core.js';
import type { Bucket } from './cache-key.js';

/** Reads without loading. Nothing here rejects: what Redis fails to do is a miss, counted and logged. */
export class CacheReads {
  constructor(private readonly core: CacheCore) {}

  /** Reads an entry, fresh or stale, from Redis. */
  async one(place: EntryPlace, useMemory: boolean, timeoutMs: number): Promise<FoundValue | undefined> {
    const memory = useMemory ? this.core.memory : undefined;
    const before = memory?.find(place.key);
    const ticket = memory?.begin(place.key);
    let isUnchanged = false;
    try {
      const reply = await this.core.remote.read(place.bucket, place.key, timeoutMs, before?.entry.mark);
      if (ticket) isUnchanged = memory!.end(ticket);
      this.core.observers.log.succeeded('read');
      return await this.counted(receive(this.core, place, reply, ticket && { ticket, isUnchanged, before }));
    } catch (error) {
      if (ticket) memory!.end(ticket);
      noteFailure(this.core.observers, 'read', 'readFailures', error);
      return undefined;
    }
  }

  /** Reads entries that are fresh, one script per bucket. */
  async many(
    view: CacheView,
    places: readonly EntryPlace[],
    useMemory: boolean,
    timeoutMs: number,
  ): Promise<Map<string, FoundValue>> {
    const found = new Map<string, FoundValue>();
    const missing = useMemory ? this.fromMemory(places, found) : places;
    const groups = groupByBucket(missing);
    await Promise.all(
      [...groups].map(([bucket, group]) => this.group(bucket, group, useMemory, timeoutMs, found)),
    );
    return found;
  }

  private fromMemory(places: readonly EntryPlace[], found: Map<string, FoundValue>): EntryPlace[] {
    const { memory, observers } = this.core;
    if (!memory) return [...places];
    const missing: EntryPlace[] = [];
    for (const place of places) {
      const copy = memory.fresh(place.key);
      if (copy) found.set(place.key, foundInMemory(copy));
      else missing.push(place);
    }
    observers.recorder.add('hits', found.size);
    observers.recorder.add('memoryHits', found.size);
    return missing;
  }

  private async group(
    bucket: Bucket,
    group: readonly EntryPlace[],
    useMemory: boolean,
    timeoutMs: number,
    found: Map<string, FoundValue>,
  ): Promise<void> {
    const { remote, observers } = this.core;
    const memory = useMemory ? this.core.memory : undefined;
    const tickets = memory && group.map(({ key }) => memory.begin(key));
    const unchanged: boolean[] = [];
    let reply: Awaited<ReturnType<typeof remote.readMany>>;
    try {
      reply = await remote.readMany(
        bucket,
        group.map(({ key }) => key),
        timeoutMs,
      );
    } catch (error) {
      noteFailure(observers, 'read', 'readFailures', error);
      return;
    } finally {
      if (memory && tickets) unchanged.push(...tickets.map((ticket) => memory.end(ticket)));
    }
    observers.log.succeeded('read');
    const { nowUs, entries } = reply;
    let hits = 0;
    for (const [index, place] of group.entries()) {
      const entry = entries[index] ?? undefined;
      const ticket = tickets?.[index];
      const copy = ticket && { ticket, isUnchanged: unchanged[index]! };
      const value = await receive(this.core, place, { nowUs, entry }, copy);
      if (!value || value.staleForUs >= 0) continue;
      found.set(place.key, value);
      hits += 1;
    }
    observers.recorder.add('hits', hits);
    observers.recorder.add('misses', group.length - hits);
  }

  private async counted(reading: Promise<FoundValue | undefined>): Promise<FoundValue | undefined> {
    const found = await reading;
    const isHit = found !== undefined && found.staleForUs < 0;
    this.core.observers.recorder.count(isHit ? 'hits' : 'misses');
    return found;
  }
}

/** Keys of one script; its arguments have to fit on the stack of the interpreter. */
const MAX_KEYS = 500;

/** Sorts entries by bucket, in groups that one script can take. */
export function groupByBucket(places: readonly EntryPlace[]): [Bucket, EntryPlace[]][] {
  const open = new Map<Bucket, EntryPlace[]>();
  const groups: [Bucket, EntryPlace[]][] = [];
  for (const place of places) {
    let group = open.get(place.bucket);
    if (!group || group.length === MAX_KEYS) {
      group = [];
      open.set(place.bucket, group);
      groups.push([place.bucket, group]);
    }
    group.push(place);
  }
  return groups;
}
