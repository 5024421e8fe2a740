import { isRednestError, listOf } from '../common/index.js';
import type { RedisClient } from '../redis/index.js';
import { BucketCalls, replyOf, type BucketCallsInit } from './bucket-calls.js';
import type { Bucket } from './cache-key.js';
import * as scripts from './cache.scripts.js';
import { Invalidations, type InvalidationBatch } from './invalidations.js';

/** Role of a caller that asked to load: `lead` loads, `wait` for another, `backoff`: nobody for now,
 * `alone`: what it waited for is not kept, so there is nothing to wait for. */
export type LoadRole = 'fresh' | 'lead' | 'wait' | 'backoff' | 'alone';

/** A fresh entry that is to be loaded anew: the one with this stamp, or any. */
export type Replaceable = number | 'any' | undefined;

/**
 * What holds after the right to load is given back: the next one may load, there is nothing to wait for,
 * or nobody may load for so many milliseconds.
 */
export type AfterRelease = 'free' | 'unkept' | number;

/** Answer to a read: the server's clock in microseconds, and the entry; 1 when the caller's copy is right. */
export type RawRead = [nowUs: number, entry: Buffer | null | 1];

/**
 * Answer to a caller that asked to load: with its role, if the entry is not fresh, comes the stamp of the
 * load for `lead`, and for `wait` and `backoff` the milliseconds that they last.
 */
export type RawLead = [nowUs: number, entry: Buffer | null | 1, role?: 1 | 2 | 3 | 4, detail?: number];

/** What a caller that asked to load many is told of one of them. */
export interface ManyAnswer {
  readonly role: LoadRole;
  /** The entry for `fresh`, otherwise the stamp of what is there, as text. */
  readonly entry: Buffer | null;
}

/** How long an entry lives. */
export interface Lifetime {
  readonly ttlMs: number;
  /** How long it is kept after that. */
  readonly keepMs: number;
}

/** An entry that is to be written, without the head. A class for the reason of `listOf`. */
export class Filling implements Lifetime {
  readonly ttlMs: number;
  readonly keepMs: number;

  constructor(
    readonly key: string,
    readonly body: string | Buffer,
    { ttlMs, keepMs }: Lifetime,
  ) {
    this.ttlMs = ttlMs;
    this.keepMs = keepMs;
  }
}

/** Life of a value that is not kept: only whether it was overtaken is asked. */
export const UNKEPT: Lifetime = Object.freeze({ ttlMs: 0, keepMs: 0 });

/** An invalidation: of everything, or of tags. */
export type InvalidationTarget = readonly string[] | 'all';

/** What a {@link RemoteTier} is built from. */
export interface RemoteTierInit extends BucketCallsInit {
  /** Channel on which waiters are woken. */
  readonly wakeChannel: string;
}

type ScriptPart = string | number | Buffer;

const STATE_MS = 1_000;
const EMPTY = Buffer.alloc(0);

/**
 * Entries in Redis: one script, and one round trip, per call and bucket. Everything here rejects with
 * the errors of the executor.
 */
export class RemoteTier {
  private readonly calls: BucketCalls;
  private readonly invalidations = new Invalidations((batch) => this.sendInvalidations(batch));

  constructor(private readonly init: RemoteTierInit) {
    this.calls = new BucketCalls(init);
  }

  /** Reads an entry that is not void; it may be stale. The reply is as the script gives it. */
  read(bucket: Bucket, key: string, timeoutMs: number, mark?: Buffer): Promise<RawRead> {
    const parts = mark ? listOf<ScriptPart>(bucket.state, key, mark) : listOf<ScriptPart>(bucket.state, key);
    return this.calls.run('cache.get', scripts.READ, bucket, 2, parts, timeoutMs, true);
  }

  /**
   * Reads an entry whether or not it is void, with a plain GET; `''` stands for a key of another type.
   *
   * @returns `undefined`, unsent, when the server may have changed
   */
  readRaw(bucket: Bucket, key: string, timeoutMs: number): Promise<Buffer | null | undefined> {
    const get = (client: RedisClient): Promise<Buffer | null> => client.getBuffer(key);
    return this.calls.command('cache.get', bucket, get, timeoutMs).catch((error: unknown) => {
      if (replyOf(error) === 'WRONGTYPE') return EMPTY;
      throw error;
    });
  }

  /** Reads the state of a bucket, unless it has too many fields. */
  async state(bucket: Bucket, maxFields: number): Promise<{ nowUs: number; fields: Map<string, string> }> {
    const parts = [bucket.state, maxFields];
    const [nowUs, list] = await this.calls.run(
      'cache.state',
      scripts.STATE,
      bucket,
      1,
      parts,
      STATE_MS,
      true,
    );
    const fields = new Map<string, string>();
    for (let at = 0; at < list.length; at += 2) fields.set(list[at]!.toString(), list[at + 1]!.toString());
    return { nowUs, fields };
  }

  /** Reads one field of the state of a bucket. */
  stateField(bucket: Bucket, field: string): Promise<string | null | undefined> {
    const get = (client: RedisClient): Promise<string | null> => client.hget(bucket.state, field);
    return this.calls.command('cache.state', bucket, get, STATE_MS);
  }

  /** Reads entries of one bucket. */
  async readMany(
    bucket: Bucket,
    keys: readonly string[],
    timeoutMs: number,
  ): Promise<{ nowUs: number; entries: (Buffer | null)[] }> {
    const parts = [bucket.state, ...keys];
    const [nowUs, ...entries] = await this.calls.run(
      'cache.getMany',
      scripts.READ_MANY,
      bucket,
      parts.length,
      parts,
      timeoutMs,
      true,
    );
    return { nowUs, entries };
  }

  /** Reads an entry, or takes the right to load it. The reply is as the script gives it. */
  lead(
    bucket: Bucket,
    key: string,
    options: {
      token: string;
      leaseMs: number;
      replace: Replaceable;
      /** Whether the caller has waited for another load. */
      hasWaited?: boolean;
      timeoutMs: number;
      mark?: Buffer | undefined;
    },
  ): Promise<RawLead> {
    const { token, leaseMs, hasWaited, timeoutMs, mark } = options;
    const replace = toReplace(options.replace);
    const parts = listOf<ScriptPart>(bucket.state, key, bucket.lease(key), token, leaseMs);
    if (replace !== '' || mark || hasWaited) parts.push(replace, mark ?? '', hasWaited ? 1 : 0);
    return this.calls.run('cache.lead', scripts.LEAD, bucket, 3, parts, timeoutMs, true);
  }

  /** Reads entries of one bucket, and takes the right to load those that are not fresh. */
  async leadMany(
    bucket: Bucket,
    wanted: readonly { readonly key: string; readonly replace: Replaceable }[],
    options: { token: string; leaseMs: number; hasWaited: boolean; timeoutMs: number },
  ): Promise<{ nowUs: number; stampUs: number; answers: readonly ManyAnswer[] }> {
    const { token, leaseMs, hasWaited, timeoutMs } = options;
    const parts = [
      bucket.state,
      ...wanted.map(({ key }) => key),
      ...wanted.map(({ key }) => bucket.lease(key)),
      token,
      leaseMs,
      hasWaited ? 1 : 0,
      ...wanted.map(({ replace }) => toReplace(replace)),
    ];
    const keys = 1 + 2 * wanted.length;
    const reply = await this.calls.run(
      'cache.leadMany',
      scripts.LEAD_MANY,
      bucket,
      keys,
      parts,
      timeoutMs,
      true,
    );
    const [nowUs, stampUs, ...pairs] = reply;
    const answers = wanted.map((_, index): ManyAnswer => {
      const entry = pairs[2 * index] as Buffer | null;
      return { role: ROLES[pairs[2 * index + 1] as 0 | 1 | 2 | 3 | 4], entry };
    });
    return { nowUs, stampUs, answers };
  }

  /**
   * Gives the right to load back with what was loaded, which is written unless it is {@link UNKEPT}.
   *
   * @returns for each whether it was not overtaken
   */
  async fill(
    bucket: Bucket,
    fillings: readonly Filling[],
    load: { token: string; stampUs: number },
    timeoutMs: number,
  ): Promise<readonly boolean[]> {
    const { wakeChannel, coherence } = this.init;
    const parts = [
      bucket.state,
      ...fillings.flatMap(({ key }) => [key, bucket.lease(key)]),
      load.token,
      load.stampUs,
      wakeChannel,
      coherence.tellChannel,
      ...fillings.flatMap(({ ttlMs, keepMs, body }) => [ttlMs, keepMs, body]),
    ];
    const keys = 1 + 2 * fillings.length;
    const kept = await this.calls.run('cache.fill', scripts.FILL, bucket, keys, parts, timeoutMs);
    return kept.map((each) => each === 1);
  }

  /** Writes an entry. @returns its stamp in microseconds; 0 when `add` found one */
  write(
    bucket: Bucket,
    mode: 'set' | 'add',
    { key, ttlMs, keepMs, body }: Filling,
    timeoutMs: number,
  ): Promise<number> {
    const { wakeChannel, coherence } = this.init;
    const lease = bucket.lease(key);
    const parts = listOf<ScriptPart>(
      bucket.state,
      key,
      lease,
      ttlMs,
      keepMs,
      body,
      wakeChannel,
      coherence.tellChannel,
    );
    const script = mode === 'set' ? scripts.WRITE : scripts.ADD;
    return this.calls.run('cache.set', script, bucket, 3, parts, timeoutMs);
  }

  /** Writes entries of one bucket. */
  writeMany(bucket: Bucket, fillings: readonly Filling[], timeoutMs: number): Promise<number> {
    const { wakeChannel, coherence } = this.init;
    const parts = [
      bucket.state,
      ...fillings.flatMap(({ key }) => [key, bucket.lease(key)]),
      wakeChannel,
      coherence.tellChannel,
      ...fillings.flatMap(({ ttlMs, keepMs, body }) => [ttlMs, keepMs, body]),
    ];
    const keys = 1 + 2 * fillings.length;
    return this.calls.run('cache.setMany', scripts.WRITE_MANY, bucket, keys, parts, timeoutMs);
  }

  /** Deletes entries of one bucket, or makes them stale. @returns how many were there */
  remove(
    bucket: Bucket,
    keys: readonly string[],
    mode: 'delete' | 'expire',
    timeoutMs: number,
  ): Promise<number> {
    const pairs = keys.flatMap((key) => [key, bucket.lease(key)]);
    const parts = [bucket.state, ...pairs, mode, this.init.wakeChannel, this.init.coherence.tellChannel];
    return this.calls.run(`cache.${mode}`, scripts.REMOVE, bucket, 1 + pairs.length, parts, timeoutMs);
  }

  /** Voids the entries of one bucket that have a tag, or all of them, or makes them stale. */
  invalidate(
    bucket: Bucket,
    target: InvalidationTarget,
    mode: 'delete' | 'expire',
    timeoutMs: number,
  ): Promise<unknown> {
    return this.invalidations.add(bucket, target, mode, timeoutMs);
  }

  /** Takes the right to load from whoever has it. @returns the stamp of the load */
  claim(bucket: Bucket, key: string, token: string, leaseMs: number, timeoutMs: number): Promise<number> {
    const parts = [bucket.state, bucket.lease(key), token, leaseMs];
    return this.calls.run('cache.claim', scripts.CLAIM, bucket, 2, parts, timeoutMs);
  }

  /** Renews the right to load. @returns of how many keys it was still there */
  renew(bucket: Bucket, keys: readonly string[], token: string, leaseMs: number): Promise<number> {
    const parts = [...keys.map((key) => bucket.lease(key)), token, leaseMs];
    return this.calls.run('cache.renew', scripts.RENEW, bucket, keys.length, parts, leaseMs);
  }

  /** Gives the right to load back without a value. @returns of how many keys it was still there */
  release(
    bucket: Bucket,
    keys: readonly string[],
    token: string,
    after: AfterRelease,
    timeoutMs: number,
  ): Promise<number> {
    const leases = keys.map((key) => bucket.lease(key));
    const parts = [...leases, token, after, this.init.wakeChannel, ...keys];
    return this.calls.run('cache.release', scripts.RELEASE, bucket, keys.length, parts, timeoutMs);
  }

  /**
   * Gives back a right that may have been given: a request that failed may run later, and its answer finds
   * nobody. Sent behind it on the same connection, and not waited for.
   */
  withdraw(bucket: Bucket, keys: readonly string[], token: string, timeoutMs: number, error: unknown): void {
    const isPossible = isRednestError(error) && (error as { outcome?: string }).outcome === 'unknown';
    if (isPossible) void this.release(bucket, keys, token, 'free', timeoutMs).catch(() => undefined);
  }

  private sendInvalidations({ bucket, mode, timeoutMs, fields }: InvalidationBatch): Promise<number> {
    const { tellChannel } = this.init.coherence;
    const parts = [bucket.state, ...fields.keys(), mode, tellChannel, ...fields.values()];
    const keys = 1 + fields.size;
    return this.calls.run('cache.invalidate', scripts.INVALIDATE, bucket, keys, parts, timeoutMs);
  }
}

function toReplace(replace: Replaceable): string | number {
  return replace === 'any' ? '*' : (replace ?? '');
}

/** Roles by the number the script answers; none stands for 0. */
export const ROLES: Readonly<Record<0 | 1 | 2 | 3 | 4, LoadRole>> = Object.freeze({
  0: 'fresh',
  1: 'lead',
  2: 'wait',
  3: 'backoff',
  4: 'alone',
});

/** Names what the script answered. */
export function toEntry(reply: Buffer | null | 1): Buffer | 'same' | undefined {
  if (reply === 1) return 'same';
  return reply ?? undefined;
}
