import {
  foundInMemory,
  noteFailure,
  receive,
  type CacheCore,
  type EntryPlace,
  type FoundValue,
} from './cache-core.js';
import { CacheLoaderTimeoutError } from './cache.errors.js';
import type { ResolvedEntryOptions } from './entry.options.js';
import { encodeBody, StoredEntry } from './entry-format.js';
import type { Flight, Verdict } from './flights.js';
import { Lease, LoadTokens } from './lease.js';
import { lifetimeOf } from './lifetime.js';
import { LoadContext, type CacheLoader, type StaleValue } from './loader.js';
import { raceTimeout, TIMED_OUT } from './race-timeout.js';
import { ROLES, toEntry, type LoadRole, type RawLead } from './remote-tier.js';

/** What is to be loaded, and how. */
export interface LoadPlan<T> extends EntryPlace {
  /** Key as the loader sees it. */
  readonly id: string;
  readonly loader: CacheLoader<T>;
  readonly options: ResolvedEntryOptions;
  /** Loads although a fresh value is there. */
  readonly force: boolean;
}

/** What the server answered to a request to load. */
interface Asked {
  readonly role: LoadRole;
  readonly detail: number;
  /** Fresh or stale. */
  readonly found: FoundValue | undefined;
}

/** What a loader said about its value. */
type LoadOutcome = Partial<Pick<LoadContext<unknown>, 'validators' | 'tags' | 'ttlMs' | 'isUnwanted'>>;

/** A load under way: its value, and what became of it. */
interface RunningLoad<T> {
  readonly value: Promise<T>;
  readonly verdict: Promise<Verdict>;
  abort(): void;
}

/** Redis did not answer; the cause was noted. */
class UnreachableError extends Error {
  override readonly name = 'UnreachableError';
}

/** Lease of a load that does not care for other processes, in milliseconds. */
const ALONE_LEASE_MS = 30_000;

/** A wake-up may be lost with its connection; look again after this long, in milliseconds. */
const LOOK_AGAIN_MS = 250;

/**
 * Reads a value or loads it: once per key in the whole fleet, because loading needs a lease that the
 * server gives to one caller. Others wait to be woken, and take over when the lease ends without a value.
 */
export class CacheLoads {
  private readonly tokens = new LoadTokens();
  private readonly refreshing = new Set<string>();

  constructor(private readonly core: CacheCore) {}

  /** Answers from Redis or the loader; callers of one process share the work. */
  run<T>(plan: LoadPlan<T>): Promise<T> {
    return this.core.flights.run<T>(plan.key, (flight) => this.answer(plan, flight));
  }

  /** Loads a value anew behind everybody's back, unless somebody in the fleet does already. */
  refresh<T>(plan: LoadPlan<T>): void {
    if (this.refreshing.has(plan.key)) return;
    this.refreshing.add(plan.key);
    const token = this.tokens.next();
    void this.ask(plan, token, true)
      .then((asked) => (asked.role === 'lead' ? this.load(plan, token, asked).verdict : undefined))
      .catch(() => undefined)
      .finally(() => this.refreshing.delete(plan.key));
  }

  /** Loads the values of several keys with one call of the loader. */
  async runMany<Id, T>(
    missing: readonly (readonly [Id, EntryPlace])[],
    loader: (missing: Id[]) => Promise<ReadonlyMap<Id, T>>,
    options: ResolvedEntryOptions,
  ): Promise<ReadonlyMap<Id, T>> {
    const leases = await Promise.all(missing.map(([, place]) => this.claim(place, options)));
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
      for (const lease of leases) if (lease) void this.track(lease.release(0));
      throw error;
    }
  }

  /** Whether a fresh value is due to be loaded anew. */
  isDue({ eagerRefresh }: ResolvedEntryOptions, found: FoundValue): boolean {
    if (eagerRefresh === false) return false;
    const leftUs = -found.staleForUs;
    if (typeof eagerRefresh === 'number') {
      return leftUs <= (found.softUs - found.stampUs) * (1 - eagerRefresh);
    }
    // XFetch: an exponential draw, scaled by how long a load takes.
    const loadUs = Math.max(found.loadMs, 1) * 1000;
    return -loadUs * eagerRefresh.beta * Math.log(1 - Math.random()) >= leftUs;
  }

  private async answer<T>(plan: LoadPlan<T>, flight: Flight<T>): Promise<T> {
    const token = this.tokens.next();
    const asking = this.ask(plan, token, plan.force);
    const fallback = this.fallback(plan);
    try {
      const asked = fallback ? await raceTimeout(asking, plan.options.staleTimeoutMs) : await asking;
      if (asked !== TIMED_OUT) {
        const { role, found } = asked;
        if (role === 'fresh' && found) return this.hit(plan, found);
        return await this.proceed(plan, flight, token, asked);
      }
    } catch (error) {
      if (!(error instanceof UnreachableError)) throw error;
      return this.loadAlone(plan, fallback);
    }
    this.loadWhenAnswered(plan, token, asking);
    return this.serveStale(plan, fallback!);
  }

  private async proceed<T>(plan: LoadPlan<T>, flight: Flight<T>, token: string, asked: Asked): Promise<T> {
    const { found, role } = asked;
    if (role === 'fresh') return this.fresh(plan, flight, token, found);
    this.core.observers.recorder.count('misses');
    if (found && this.isRevalidated(plan, found)) {
      if (role === 'lead') this.load(plan, token, asked).value.catch(() => undefined);
      return this.serveStale(plan, found);
    }
    const stale = found && this.isGraceful(plan, found) ? found : undefined;
    if (role === 'backoff') return stale ? this.serveStale(plan, stale) : this.loadAlone(plan, undefined);
    if (role === 'wait') return this.inTime(plan, this.waitFor(plan, flight, token), stale);
    const load = this.load(plan, token, asked);
    flight.verdict = load.verdict;
    return this.inTime(plan, load.value, stale, load);
  }

  private async fresh<T>(
    plan: LoadPlan<T>,
    flight: Flight<T>,
    token: string,
    found: FoundValue | undefined,
  ): Promise<T> {
    // Something is there that this cache cannot read: only a load replaces it.
    if (!found) return this.proceed(plan, flight, token, await this.ask(plan, token, true));
    return this.hit(plan, found);
  }

  private hit<T>(plan: LoadPlan<T>, found: FoundValue): T {
    this.core.observers.recorder.count('hits');
    if (this.isDue(plan.options, found)) this.refresh(plan);
    return found.value as T;
  }

  /** Waits until another process has loaded, or loads itself when that process has given up or died. */
  private async waitFor<T>(plan: LoadPlan<T>, flight: Flight<T>, token: string): Promise<T> {
    const endMs = performance.now() + plan.options.waitMs;
    const listener = this.core.wakeUps.listen(plan.key);
    this.core.observers.recorder.count('waits');
    try {
      // Listening has begun, so a value that is written from here on is not missed.
      let asked = await this.ask(plan, token, false);
      while (asked.role === 'wait') {
        const leftMs = endMs - performance.now();
        if (leftMs <= 0) return await this.loadAlone(plan, undefined);
        await listener.wait({ deadlineMs: Math.ceil(Math.min(asked.detail + 1, LOOK_AGAIN_MS, leftMs)) });
        asked = await this.ask(plan, token, false);
      }
      return await this.afterWait(plan, flight, token, asked);
    } finally {
      listener.close();
    }
  }

  private async afterWait<T>(plan: LoadPlan<T>, flight: Flight<T>, token: string, asked: Asked): Promise<T> {
    if (asked.role === 'fresh' || asked.role === 'backoff') return this.proceed(plan, flight, token, asked);
    const load = this.load(plan, token, asked);
    flight.verdict = load.verdict;
    return load.value;
  }

  /** The limits of the loader, and the stale value that stands in for what fails or is late. */
  private async inTime<T>(
    plan: LoadPlan<T>,
    work: Promise<T>,
    stale: FoundValue | undefined,
    load?: RunningLoad<T>,
  ): Promise<T> {
    const { softLoaderMs, hardLoaderMs } = plan.options;
    const limitMs = (stale && softLoaderMs) || hardLoaderMs;
    try {
      const value = limitMs === 0 ? await work : await raceTimeout(work, limitMs);
      if (value !== TIMED_OUT) return value;
    } catch (error) {
      if (stale && !(error instanceof UnreachableError)) return this.serveStale(plan, stale);
      throw error;
    }
    if (!plan.options.backgroundCompletion) load?.abort();
    if (stale) return this.serveStale(plan, stale);
    throw new CacheLoaderTimeoutError(limitMs);
  }

  /** Without the lease, and without keeping the value: Redis is away, or another one holds it for too long. */
  private async loadAlone<T>(plan: LoadPlan<T>, stale: FoundValue | undefined): Promise<T> {
    const controller = new AbortController();
    const context = new LoadContext<T>(plan.id, controller.signal, staleValue(stale));
    const load: RunningLoad<T> = {
      value: this.callLoader(() => plan.loader(context)),
      verdict: Promise.resolve('unknown'),
      abort: () => controller.abort(),
    };
    return this.inTime(plan, load.value, stale, load);
  }

  private load<T>(plan: LoadPlan<T>, token: string, { detail, found }: Asked): RunningLoad<T> {
    const { timeoutMs, graceMs, graceBackoffMs } = plan.options;
    const leaseMs = plan.options.leaseMs || ALONE_LEASE_MS;
    const lease = new Lease(this.core, plan, { token, stampUs: detail, leaseMs, timeoutMs });
    const controller = new AbortController();
    const context = new LoadContext<T>(plan.id, controller.signal, staleValue(found));
    const startedMs = performance.now();
    const value = this.callLoader(() => plan.loader(context));
    const verdict = value.then(
      (loaded) => this.track(this.keep(plan, lease, context, loaded, performance.now() - startedMs)),
      () => this.track(lease.release(found && graceMs > 0 ? graceBackoffMs : 0)),
    );
    return { value, verdict, abort: () => controller.abort() };
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
    if (value === undefined || context.isUnwanted) return lease.release(0);
    try {
      const { flags, bytes } = await view.codec.compress(view.codec.encode(value));
      const { version } = view;
      const { validators, tags = options.tags } = context;
      const body = encodeBody({ flags, version, loadMs, tags, validators }, bytes);
      return await lease.fill(body, lifetimeOf(options, value, context.ttlMs));
    } catch {
      this.core.observers.recorder.count('writeFailures');
      this.core.observers.log.faulty('refused');
      return lease.release(0);
    }
  }

  /** Takes the right to load one of many keys; without it the value is loaded and not kept. */
  private async claim(place: EntryPlace, options: ResolvedEntryOptions): Promise<Lease | undefined> {
    const token = this.tokens.next();
    const { timeoutMs } = options;
    const leaseMs = options.leaseMs || ALONE_LEASE_MS;
    try {
      const { bucket, key } = place;
      const lead = await this.core.remote.lead(bucket, key, { token, leaseMs, force: false, timeoutMs });
      const [, , role, stampUs] = lead;
      if (role !== 1 || stampUs === undefined) return undefined;
      return new Lease(this.core, place, { token, stampUs, leaseMs, timeoutMs });
    } catch (error) {
      noteFailure(this.core.observers, 'read', 'readFailures', error);
      return undefined;
    }
  }

  private track(work: Promise<Verdict>): Promise<Verdict> {
    this.core.writes.track(work);
    return work;
  }

  private async ask<T>(plan: LoadPlan<T>, token: string, force: boolean): Promise<Asked> {
    const { remote, observers } = this.core;
    const { bucket, key, options } = plan;
    const { timeoutMs, leaseMs } = options;
    const before = options.memory ? this.core.memory?.find(key, plan.view) : undefined;
    const ticket = options.memory ? this.core.memory?.begin(key) : undefined;
    let lead: RawLead;
    try {
      const mark = before?.entry.mark;
      lead =
        leaseMs === 0
          ? await this.askAlone(plan, token, force)
          : await remote.lead(bucket, key, { token, leaseMs, force, timeoutMs, mark });
    } catch (error) {
      if (ticket) this.core.memory!.end(ticket);
      noteFailure(observers, 'read', 'readFailures', error);
      throw new UnreachableError('Redis did not answer', { cause: error });
    }
    observers.log.succeeded('read');
    const copy = ticket && { ticket, before };
    const [nowUs, entry, role = 0, detail = 0] = lead;
    const received = receive(this.core, plan, nowUs, toEntry(entry), copy);
    const found = received instanceof Promise ? await received : received;
    return { role: ROLES[role], detail, found };
  }

  /** Without agreement between processes each takes the lease from the other; the last one is kept. */
  private async askAlone<T>(plan: LoadPlan<T>, token: string, force: boolean): Promise<RawLead> {
    const { remote } = this.core;
    const { bucket, key, options } = plan;
    const [nowUs, raw] = await remote.read(bucket, key, options.timeoutMs);
    if (!force && isFresh(nowUs, raw)) return [nowUs, raw];
    const stampUs = await remote.claim(bucket, key, token, ALONE_LEASE_MS, options.timeoutMs);
    return [nowUs, raw, 1, stampUs];
  }

  private loadWhenAnswered<T>(plan: LoadPlan<T>, token: string, asking: Promise<Asked>): void {
    void asking
      .then((asked) => (asked.role === 'lead' ? this.load(plan, token, asked).verdict : undefined))
      .catch(() => undefined);
  }

  private serveStale<T>(_plan: LoadPlan<T>, stale: FoundValue): T {
    this.core.observers.recorder.count('staleHits');
    return stale.value as T;
  }

  private fallback<T>(plan: LoadPlan<T>): FoundValue | undefined {
    if (!plan.options.memory || plan.force) return undefined;
    const copy = this.core.memory?.find(plan.key, plan.view);
    // What has changed since is not to be answered, least of all to whoever changed it.
    const found = copy && !copy.isSuspect ? foundInMemory(copy) : undefined;
    return found && (this.isGraceful(plan, found) || this.isRevalidated(plan, found)) ? found : undefined;
  }

  private isGraceful<T>({ options }: LoadPlan<T>, found: FoundValue): boolean {
    return options.graceMs > 0 && found.staleForUs <= options.graceMs * 1000;
  }

  private isRevalidated<T>({ options, force }: LoadPlan<T>, found: FoundValue): boolean {
    return !force && options.revalidateMs > 0 && found.staleForUs <= options.revalidateMs * 1000;
  }
}

function isFresh(nowUs: number, raw: Buffer | null | 1): boolean {
  const stored = Buffer.isBuffer(raw) ? StoredEntry.parse(raw) : undefined;
  return stored !== undefined && stored.softUs > nowUs;
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
