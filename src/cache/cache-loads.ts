import { foundInMemory, noteFailure, receive, type CacheCore, type FoundValue } from './cache-core.js';
import { CacheLoaderTimeoutError } from './cache.errors.js';
import { isRefreshDue } from './eager-refresh.js';
import { stampOf, StoredEntry } from './entry-format.js';
import type { Flight } from './flights.js';
import { LoadTokens, longestLoadMs } from './lease.js';
import { ALONE_LEASE_MS, LoadRuns, type LoadPlan, type RunningLoad } from './load-runs.js';
import { LOOK_AGAIN_MS, ManyLoads, type ManyPlan } from './many-loads.js';
import { raceTimeout, TIMED_OUT } from './race-timeout.js';
import { ROLES, toEntry, type LoadRole, type RawLead, type Replaceable } from './remote-tier.js';
import { FOR_ALL, Turns, type Turn } from './turns.js';

/** What the server answered to a request to load. A class for the reason of `listOf`. */
class Asked {
  constructor(
    readonly role: LoadRole,
    readonly detail: number,
    /** Fresh or stale. */
    readonly found: FoundValue | undefined,
    /** Stamp of the entry that is there, readable or not. */
    readonly seenUs: number | undefined,
    /** When it was asked. */
    readonly turn: Turn,
  ) {}
}

/** One read that may load, on behalf of all callers of its flight. A class for the reason of `listOf`. */
class LoadCall<T> {
  running: RunningLoad<T> | undefined = undefined;

  constructor(
    readonly plan: LoadPlan<T>,
    readonly flight: Flight,
    readonly token: string,
  ) {}
}

/** Redis did not answer; the cause was noted. */
class UnreachableError extends Error {
  override readonly name = 'UnreachableError';
}

/**
 * Reads a value or loads it: once per key in the whole fleet, because loading needs a lease that the
 * server gives to one caller. Others wait to be woken, and take over when the lease ends without a value.
 */
export class CacheLoads {
  private readonly tokens = new LoadTokens();
  private readonly turns = new Turns();
  private readonly refreshing = new Set<string>();
  private readonly runs: LoadRuns;
  private readonly many: ManyLoads;

  constructor(private readonly core: CacheCore) {
    this.runs = new LoadRuns(core);
    this.many = new ManyLoads(core, this.runs);
  }

  /** Answers from Redis or the loader; callers of one process share the work. */
  run<T>(plan: LoadPlan<T>): Promise<T> {
    return this.core.flights.run<T>(plan, (flight) => this.answer(plan, flight));
  }

  /** Loads a value anew behind everybody's back, unless somebody in the fleet does, or has done, already. */
  refresh<T>(plan: LoadPlan<T>, seen: FoundValue): void {
    if (this.refreshing.has(plan.key)) return;
    this.refreshing.add(plan.key);
    void this.refreshNow(plan, seen.stampUs)
      .catch(() => undefined)
      .finally(() => this.refreshing.delete(plan.key));
  }

  /** Reads values, and loads those that are missing with one call of the loader. @returns them in the order of the ids */
  runMany<Id, T>(plan: ManyPlan<Id, T>): Promise<Map<Id, T>> {
    return this.many.run(plan);
  }

  private async answer<T>(plan: LoadPlan<T>, flight: Flight): Promise<T> {
    const call = new LoadCall(plan, flight, this.tokens.next());
    const asking = this.ask(plan, call.token, plan.force ? 'any' : undefined);
    const fallback = this.fallback(plan);
    try {
      const asked = fallback ? await raceTimeout(asking, plan.options.staleTimeoutMs) : await asking;
      if (asked !== TIMED_OUT) {
        const { role, found } = asked;
        if (role === 'fresh' && found) return this.hit(call, found, asked);
        return await this.proceed(call, asked);
      }
    } catch (error) {
      if (!(error instanceof UnreachableError)) throw error;
      // Nobody can be told of a newer write: all share what is loaded.
      return this.loadAlone(call, fallback, FOR_ALL);
    }
    this.loadWhenAnswered(call, asking);
    return this.serveStale(call, fallback!);
  }

  private async proceed<T>(call: LoadCall<T>, asked: Asked): Promise<T> {
    const { plan } = call;
    const { found, role } = asked;
    if (role === 'fresh') return found ? this.hit(call, found, asked) : this.replace(call, asked);
    this.core.observers.recorder.count('misses');
    if (found && this.isRevalidated(plan, found)) {
      if (role === 'lead') this.lead(call, asked).catch(() => undefined);
      return this.serveStale(call, found);
    }
    const stale = found && this.isGraceful(plan, found) ? found : undefined;
    if (role === 'backoff') return stale ? this.serveStale(call, stale) : this.loadAlone(call, undefined);
    return this.inTime(call, role === 'wait' ? this.waitFor(call, asked) : this.lead(call, asked), stale);
  }

  /** Something fresh is there that this cache cannot read: only a load replaces it. */
  private async replace<T>(call: LoadCall<T>, { seenUs }: Asked): Promise<T> {
    const asked = await this.ask(call.plan, call.token, seenUs ?? 'any');
    const isUnreadable = asked.role === 'fresh' && !asked.found;
    return isUnreadable ? this.loadAlone(call, undefined) : this.proceed(call, asked);
  }

  private hit<T>({ plan, flight }: LoadCall<T>, found: FoundValue, { turn }: Asked): T {
    flight.asOf = turn;
    this.core.observers.recorder.count('hits');
    if (isRefreshDue(plan.options.eagerRefresh, found)) this.refresh(plan, found);
    return found.value as T;
  }

  /** Waits until another process has loaded, or loads itself when that process has given up or died. */
  private async waitFor<T>(call: LoadCall<T>, before: Asked): Promise<T> {
    const { plan, token } = call;
    const endMs = performance.now() + plan.options.waitMs;
    const listener = this.core.wakeUps.listen(plan.key);
    this.core.observers.recorder.count('waits');
    // What was there when the wait began is not what is waited for, and neither is what cannot be read.
    let unwantedUs = before.seenUs;
    try {
      for (;;) {
        // Listening has begun, so a value that is written from here on is not missed.
        const asked = await this.ask(plan, token, unwantedUs, true);
        const leftMs = endMs - performance.now();
        if (asked.role === 'wait' && leftMs > 0 && !listener.isClosed) {
          await listener.wait({ deadlineMs: Math.ceil(Math.min(asked.detail + 1, LOOK_AGAIN_MS, leftMs)) });
        } else if (leftMs > 0 && asked.seenUs !== unwantedUs && asked.role === 'fresh' && !asked.found) {
          unwantedUs = asked.seenUs;
        } else {
          return await this.afterWait(call, asked);
        }
      }
    } finally {
      listener.close();
    }
  }

  private afterWait<T>(call: LoadCall<T>, asked: Asked): Promise<T> {
    const { role, found } = asked;
    if (role === 'lead') return this.lead(call, asked);
    const isAnswered = role === 'backoff' || (role === 'fresh' && found);
    return isAnswered ? this.proceed(call, asked) : this.loadAlone(call, undefined);
  }

  /** Loads with the lease. */
  private lead<T>(call: LoadCall<T>, { detail, found }: Asked): Promise<T> {
    call.flight.asOf = this.turns.now;
    call.running = this.runs.start(call.plan, call.token, detail, found);
    call.flight.verdict = call.running.verdict;
    return call.running.value;
  }

  /** The limits of the loader, and the stale value that stands in for what fails or is late. */
  private async inTime<T>(call: LoadCall<T>, work: Promise<T>, stale: FoundValue | undefined): Promise<T> {
    const { softLoaderMs, hardLoaderMs, backgroundCompletion } = call.plan.options;
    const limitMs = (stale && softLoaderMs) || hardLoaderMs;
    try {
      const value = limitMs === 0 ? await work : await raceTimeout(work, limitMs);
      if (value !== TIMED_OUT) return value;
    } catch (error) {
      if (stale && !(error instanceof UnreachableError)) return this.serveStale(call, stale);
      throw error;
    }
    if (!backgroundCompletion) call.running?.abort();
    if (stale) return this.serveStale(call, stale);
    throw new CacheLoaderTimeoutError(limitMs);
  }

  /** Without the lease, and without keeping the value: Redis is away, or another one holds it for too long. */
  private loadAlone<T>(call: LoadCall<T>, stale: FoundValue | undefined, asOf = this.turns.now): Promise<T> {
    call.flight.asOf = asOf;
    call.running = this.runs.startAlone(call.plan, stale);
    return this.inTime(call, call.running.value, stale);
  }

  private async refreshNow<T>(plan: LoadPlan<T>, seenUs: number): Promise<void> {
    const token = this.tokens.next();
    const { role, detail, found } = await this.ask(plan, token, seenUs);
    if (role !== 'lead') return;
    const load = this.runs.start(plan, token, detail, found);
    // Longer than that it has no lease.
    if ((await raceTimeout(load.verdict, longestLoadMs(plan.options))) === TIMED_OUT) load.abort();
  }

  private async ask<T>(
    plan: LoadPlan<T>,
    token: string,
    replace: Replaceable,
    hasWaited = false,
  ): Promise<Asked> {
    const { remote, observers } = this.core;
    const { bucket, key, options } = plan;
    const { timeoutMs, leaseMs } = options;
    const before = options.memory ? this.core.memory?.find(key, plan.view) : undefined;
    const ticket = options.memory ? this.core.memory?.begin(key) : undefined;
    let lead: RawLead;
    const turn = this.turns.now;
    try {
      const mark = before?.entry.mark;
      lead =
        leaseMs === 0
          ? await this.askAlone(plan, token, replace)
          : await remote.lead(bucket, key, { token, leaseMs, replace, hasWaited, timeoutMs, mark });
    } catch (error) {
      if (ticket) this.core.memory!.end(ticket);
      remote.withdraw(bucket, [key], token, timeoutMs, error);
      noteFailure(observers, 'read', 'readFailures', error);
      throw new UnreachableError('Redis did not answer', { cause: error });
    }
    observers.log.succeeded('read');
    const copy = ticket && { ticket, before };
    const [nowUs, entry, role = 0, detail = 0] = lead;
    const received = receive(this.core, plan, nowUs, toEntry(entry), copy);
    const found = received instanceof Promise ? await received : received;
    return new Asked(ROLES[role], detail, found, found ? found.stampUs : stampOf(entry), turn);
  }

  /** Without agreement between processes each takes the lease from the other; the last one is kept. */
  private async askAlone<T>(plan: LoadPlan<T>, token: string, replace: Replaceable): Promise<RawLead> {
    const { remote } = this.core;
    const { bucket, key, options } = plan;
    const [nowUs, raw] = await remote.read(bucket, key, options.timeoutMs);
    const isWanted = replace === undefined || (replace !== 'any' && replace !== stampOf(raw));
    if (isWanted && isFresh(nowUs, raw)) return [nowUs, raw];
    const stampUs = await remote.claim(bucket, key, token, ALONE_LEASE_MS, options.timeoutMs);
    return [nowUs, raw, 1, stampUs];
  }

  private loadWhenAnswered<T>(call: LoadCall<T>, asking: Promise<Asked>): void {
    void asking
      .then((asked) => {
        // Whoever asked has turned to what is stale.
        this.core.observers.recorder.count('misses');
        return asked.role === 'lead' ? this.lead(call, asked) : undefined;
      })
      .catch(() => undefined);
  }

  private serveStale<T>({ flight }: LoadCall<T>, stale: FoundValue): T {
    // Those who share the answer do not wait for what becomes of a load; being old is what it is about.
    flight.verdict = 'unknown';
    flight.asOf = FOR_ALL;
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
