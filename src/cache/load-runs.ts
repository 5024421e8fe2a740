import type { CacheCore, EntryPlace, FoundValue } from './cache-core.js';
import type { ResolvedEntryOptions } from './entry.options.js';
import { encodeBody } from './entry-format.js';
import type { Verdict } from './flights.js';
import { Lease, longestLoadMs } from './lease.js';
import { lifetimeOf } from './lifetime.js';
import { LoadContext, type CacheLoader, type StaleValue } from './loader.js';

/** What is to be loaded, and how. */
export interface LoadPlan<T> extends EntryPlace {
  /** Key as the loader sees it. */
  readonly id: string;
  readonly loader: CacheLoader<T>;
  readonly options: ResolvedEntryOptions;
  /** Loads although a fresh value is there. */
  readonly force: boolean;
}

/** A load under way: its value, and what became of it. */
export interface RunningLoad<T> {
  readonly value: Promise<T>;
  /** Never rejects. */
  readonly verdict: Promise<Verdict>;
  /** Nobody wants the value any more. */
  abort(): void;
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
    const lease = this.lease(plan, plan.options, token, stampUs);
    const controller = new AbortController();
    const context = new LoadContext<T>(plan.id, controller.signal, staleValue(found));
    const startedMs = performance.now();
    const value = this.callLoader(() => plan.loader(context));
    const giveUp = (): Promise<Verdict> =>
      this.track(lease.release(found && graceMs > 0 ? graceBackoffMs : 'unkept'));
    const verdict = value.then(
      (loaded) => this.track(this.keep(plan, lease, context, loaded, performance.now() - startedMs)),
      giveUp,
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

  /** Loads the values of several keys with one call of the loader; keeps those it has a lease of. */
  async startMany<Id, T>(
    missing: readonly (readonly [Id, EntryPlace])[],
    leases: readonly (Lease | undefined)[],
    loader: (missing: Id[]) => Promise<ReadonlyMap<Id, T>>,
    options: ResolvedEntryOptions,
  ): Promise<ReadonlyMap<Id, T>> {
    const startedMs = performance.now();
    try {
      const loaded = await this.callLoader(() => loader(missing.map(([id]) => id)));
      const loadMs = performance.now() - startedMs;
      for (const [index, [id, place]] of missing.entries()) {
        const value = loaded.get(id);
        const lease = leases[index];
        if (lease) void this.track(this.keep({ ...place, options }, lease, {}, value, loadMs));
      }
      return loaded;
    } catch (error) {
      for (const lease of leases) if (lease) void this.track(lease.release('unkept'));
      throw error;
    }
  }

  /** The right to load, as the server gave it. */
  lease(place: EntryPlace, options: ResolvedEntryOptions, token: string, stampUs: number): Lease {
    const { timeoutMs } = options;
    const leaseMs = options.leaseMs || ALONE_LEASE_MS;
    return new Lease(this.core, place, {
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

  /** The caller asked for the value, not for the cache: one that cannot be stored is not an error. */
  private async keep(
    { view, options }: Pick<LoadPlan<unknown>, 'view' | 'options'>,
    lease: Lease,
    context: LoadOutcome,
    value: unknown,
    loadMs: number,
  ): Promise<Verdict> {
    if (value === undefined || context.isUnwanted) return lease.release('unkept');
    try {
      const { flags, bytes } = await view.codec.compress(view.codec.encode(value));
      const { version } = view;
      const { validators, tags = options.tags } = context;
      const body = encodeBody({ flags, version, loadMs, tags, validators }, bytes);
      return await lease.fill(body, lifetimeOf(options, value, context.ttlMs));
    } catch {
      this.core.observers.recorder.count('writeFailures');
      this.core.observers.log.faulty('refused');
      return lease.release('unkept');
    }
  }

  private track(work: Promise<Verdict>): Promise<Verdict> {
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
