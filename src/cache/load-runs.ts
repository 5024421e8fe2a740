import { NamedPlace, type CacheCore, type EntryPlace, type FoundValue } from './cache-core.js';
import type { Bucket } from './cache-key.js';
import type { ResolvedEntryOptions } from './entry.options.js';
import { fillingOf, unkeptFilling } from './filling.js';
import type { Verdict } from './flights.js';
import { Lease, longestLoadMs } from './lease.js';
import { LoadContext, type CacheLoader, type StaleValue } from './loader.js';
import type { Filling } from './remote-tier.js';

/** What is to be loaded, and how; the loader sees the key as callers call it. A class for the reason of `listOf`. */
export class LoadPlan<T> extends NamedPlace {
  constructor(
    { view, id, bucket, key }: NamedPlace,
    readonly loader: CacheLoader<T>,
    readonly options: ResolvedEntryOptions,
    /** Loads although a fresh value is there. */
    readonly force: boolean,
  ) {
    super(view, id, bucket, key);
  }
}

/** A load under way: its value, and what became of it. */
export interface RunningLoad<T> {
  readonly value: Promise<T>;
  /** Never rejects. */
  readonly verdict: Promise<Verdict>;
  /** Nobody wants the value any more. */
  abort(): void;
}

/** One of many entries that are wanted. */
export interface WantedEntry<Id> extends EntryPlace {
  readonly id: Id;
}

/** A lease of several entries. */
export interface LeaseShare<Id> {
  readonly lease: Lease;
  readonly wanted: readonly WantedEntry<Id>[];
}

/** What a loader said about its value. */
type LoadOutcome = Partial<Pick<LoadContext<unknown>, 'validators' | 'tags' | 'ttlMs' | 'isUnwanted'>>;

/** Lease of a load that does not care for other processes, in milliseconds. */
export const ALONE_LEASE_MS = 30_000;

/** Calls loaders, and keeps what they answer where the server gave the right to. */
export class LoadRuns {
  constructor(private readonly core: CacheCore) {}

  /** Loads with the right to keep the value, given to `token` at `stampUs`. */
  start<T>(plan: LoadPlan<T>, token: string, stampUs: number, found: FoundValue | undefined): RunningLoad<T> {
    const { graceMs, graceBackoffMs } = plan.options;
    const lease = this.lease(plan.bucket, [plan.key], plan.options, { token, stampUs });
    const controller = new AbortController();
    const knownTags = found ? [...found.tags, ...plan.options.tags] : [];
    const context = new LoadContext<T>(plan.id, controller.signal, staleValue(found), knownTags);
    const startedMs = performance.now();
    const value = this.callLoader(() => plan.loader(context));
    const giveUp = (): Promise<void> =>
      this.track(lease.release(found && graceMs > 0 ? graceBackoffMs : 'unkept'));
    const verdict = value.then(
      (loaded) => this.track(this.keep(plan, lease, context, loaded, performance.now() - startedMs)),
      // Callers share the error, whatever has changed since.
      () => giveUp().then((): Verdict => 'unknown'),
    );
    const abort = (): void => {
      controller.abort();
      // The loader may never end; whoever waits for it must not wait as long.
      void giveUp();
    };
    return { value, verdict, abort };
  }

  /** Loads without keeping the value. */
  startAlone<T>(plan: LoadPlan<T>, stale: FoundValue | undefined): RunningLoad<T> {
    const controller = new AbortController();
    const context = new LoadContext<T>(plan.id, controller.signal, staleValue(stale));
    return {
      value: this.callLoader(() => plan.loader(context)),
      verdict: Promise.resolve('unknown'),
      abort: () => controller.abort(),
    };
  }

  /**
   * Loads values with one call of the loader; keeps those it has a lease of.
   *
   * @param shares leases, each with what it was given for
   */
  async startMany<Id, T>(
    ids: Id[],
    shares: readonly LeaseShare<Id>[],
    loader: (missing: Id[]) => Promise<ReadonlyMap<Id, T>>,
    options: ResolvedEntryOptions,
  ): Promise<ReadonlyMap<Id, T>> {
    const startedMs = performance.now();
    try {
      const loaded = await this.callLoader(() => loader(ids));
      const loadMs = performance.now() - startedMs;
      for (const share of shares) this.core.writes.track(this.keepShare(share, loaded, options, loadMs));
      return loaded;
    } catch (error) {
      for (const { lease } of shares) this.core.writes.track(lease.release('unkept'));
      throw error;
    }
  }

  /** The right to load, as the server gave it. */
  lease(
    bucket: Bucket,
    keys: readonly string[],
    options: ResolvedEntryOptions,
    { token, stampUs }: { token: string; stampUs: number },
  ): Lease {
    const { timeoutMs } = options;
    const leaseMs = options.leaseMs || ALONE_LEASE_MS;
    return new Lease(this.core, bucket, keys, {
      token,
      stampUs,
      leaseMs,
      timeoutMs,
      heldMs: longestLoadMs(options),
    });
  }

  private async callLoader<T>(load: () => T | Promise<T>): Promise<T> {
    const { recorder } = this.core.observers;
    recorder.count('loads');
    try {
      return await load();
    } catch (error) {
      recorder.count('loadFailures');
      throw error;
    }
  }

  private async keep(
    plan: Pick<LoadPlan<unknown>, 'view' | 'key' | 'options'>,
    lease: Lease,
    context: LoadOutcome,
    value: unknown,
    loadMs: number,
  ): Promise<Verdict> {
    const filling = await this.filling(plan, plan.options, value, context, loadMs);
    const [verdict = 'unknown'] = await lease.store([filling]);
    return verdict;
  }

  private async keepShare<Id>(
    { lease, wanted }: LeaseShare<Id>,
    loaded: ReadonlyMap<Id, unknown>,
    options: ResolvedEntryOptions,
    loadMs: number,
  ): Promise<void> {
    const fillings = wanted.map((each) => this.filling(each, options, loaded.get(each.id), {}, loadMs));
    await lease.store(await Promise.all(fillings));
  }

  /** The caller asked for the value, not for the cache: one that cannot be stored is not an error. */
  private async filling(
    place: Pick<EntryPlace, 'view' | 'key'>,
    options: ResolvedEntryOptions,
    value: unknown,
    context: LoadOutcome,
    loadMs: number,
  ): Promise<Filling> {
    const { codec } = place.view;
    const { validators, tags = options.tags, ttlMs } = context;
    if (value !== undefined && !context.isUnwanted) {
      try {
        const encoded = await codec.compress(codec.encode(value));
        return fillingOf(place, value, encoded, options, { loadMs, validators, tags, ttlMs });
      } catch {
        this.core.observers.recorder.count('writeFailures');
        this.core.observers.log.faulty('refused');
      }
    }
    return unkeptFilling(place, tags);
  }

  private track<T>(work: Promise<T>): Promise<T> {
    this.core.writes.track(work);
    return work;
  }
}

function staleValue<T>(found: FoundValue | undefined): StaleValue<T> | undefined {
  if (!found) return undefined;
  const { value, etag, lastModified } = found;
  return {
    value: value as T,
    ...(etag === undefined ? {} : { etag }),
    ...(lastModified === undefined ? {} : { lastModified }),
  };
}
