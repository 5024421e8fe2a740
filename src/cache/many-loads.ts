import { noteFailure, receive, type CacheCore, type EntryPlace } from './cache-core.js';
import type { Bucket } from './cache-key.js';
import { groupByBucket, takeCopies } from './cache-reads.js';
import type { ResolvedEntryOptions } from './entry.options.js';
import { stampOf } from './entry-format.js';
import { LoadTokens } from './lease.js';
import { ALONE_LEASE_MS, type LeaseShare, type LoadRuns, type WantedEntry } from './load-runs.js';
import type { ManyAnswer, Replaceable } from './remote-tier.js';

/** Values that are wanted, and how those that are missing are loaded. */
export interface ManyPlan<Id, T> {
  readonly places: readonly (readonly [Id, EntryPlace])[];
  readonly loader: (missing: Id[]) => Promise<ReadonlyMap<Id, T>>;
  readonly options: ResolvedEntryOptions;
  /** Loads although fresh values are there. */
  readonly force: boolean;
}

/** One that was not found yet. */
interface Open<Id> extends WantedEntry<Id> {
  /** Place among those that were asked for. */
  readonly order: number;
  /** What is there and does not count: as old as the call, or not readable. */
  replace: Replaceable;
}

/** A lease of several that were not found. */
interface OpenShare<Id> extends LeaseShare<Id> {
  readonly wanted: readonly Open<Id>[];
}

/** What the server answered to a request for many. */
interface ManyAsked<Id> {
  readonly shares: OpenShare<Id>[];
  /** Another process loads them. */
  readonly waits: Open<Id>[];
  /** Not to be read as they are; to be asked for anew. */
  readonly again: Open<Id>[];
  /** Nobody's to keep. */
  readonly alone: Open<Id>[];
  /** How many were found, and how many the server did not answer. */
  hits: number;
  failures: number;
}

/** What comes of looking for what is open. */
type Looked<Id> = Pick<ManyAsked<Id>, 'waits' | 'hits' | 'failures'>;

/** A call for many, while it lasts. */
interface ManyCall<Id, T> {
  readonly plan: ManyPlan<Id, T>;
  readonly token: string;
  readonly values: Map<Id, T>;
  readonly loads: Promise<void>[];
  /** Aborted when a load has failed: nothing is waited for any more. */
  readonly failure: AbortController;
}

/** A wake-up may be lost with its connection; look again after this long, in milliseconds. */
export const LOOK_AGAIN_MS = 250;

/**
 * Reads many values and loads those that are missing: one script per bucket for the reads and the leases, one
 * call of the loader for what nobody else loads, one script to keep what it brought, one wait for all
 * that others load. Those that others give up are loaded here, with a further call.
 */
export class ManyLoads {
  private readonly tokens = new LoadTokens();

  constructor(
    private readonly core: CacheCore,
    private readonly runs: LoadRuns,
  ) {}

  /** @returns the values found and loaded, in the order of the ids; rejects with the loader's error */
  async run<Id, T>(plan: ManyPlan<Id, T>): Promise<Map<Id, T>> {
    const failure = new AbortController();
    const call: ManyCall<Id, T> = {
      plan,
      token: this.tokens.next(),
      values: new Map(),
      loads: [],
      failure,
    };
    const replace = plan.force ? 'any' : undefined;
    const wanted = plan.places.map(([id, place], order): Open<Id> => ({ ...place, id, order, replace }));
    const useMemory = plan.options.memory && !plan.force;
    const open = useMemory
      ? takeCopies(this.core, wanted, ({ id }, value) => call.values.set(id, value as T))
      : wanted;
    const { waits, hits, failures } = await this.look(call, open, false);
    this.core.observers.recorder.add('hits', hits);
    this.core.observers.recorder.add('misses', open.length - hits - failures);
    if (waits.length > 0) await this.waitFor(call, waits);
    await Promise.all(call.loads);
    const found = wanted.filter(({ id }) => call.values.has(id));
    return new Map(found.map(({ id }) => [id, call.values.get(id)!]));
  }

  /** Asks for what is open and begins to load what may be loaded. */
  private async look<Id, T>(
    call: ManyCall<Id, T>,
    open: readonly Open<Id>[],
    hasWaited: boolean,
  ): Promise<Looked<Id>> {
    const looked: Looked<Id> = { waits: [], hits: 0, failures: 0 };
    for (let left = open; left.length > 0;) {
      const asked = await this.ask(call, left, hasWaited);
      this.load(call, asked.shares, asked.alone);
      looked.waits.push(...asked.waits);
      looked.hits += asked.hits;
      looked.failures += asked.failures;
      left = asked.again;
    }
    // Without agreement between processes there is nobody to wait for.
    if (call.plan.options.leaseMs === 0) this.load(call, [], looked.waits.splice(0));
    return looked;
  }

  /** Waits until others have loaded, or loads what they have given up. */
  private async waitFor<Id, T>(call: ManyCall<Id, T>, first: Open<Id>[]): Promise<void> {
    const { signal } = call.failure;
    const endMs = performance.now() + call.plan.options.waitMs;
    const listener = this.core.wakeUps.listen(first.map(({ key }) => key));
    this.core.observers.recorder.add('waits', first.length);
    try {
      // Listening has begun, so a value that is written from here on is not missed.
      let { waits } = await this.look(call, first, true);
      while (waits.length > 0 && !signal.aborted) {
        const leftMs = endMs - performance.now();
        if (leftMs <= 0 || listener.isClosed) {
          this.load(call, [], waits);
          return;
        }
        await listener.wait({ deadlineMs: Math.ceil(Math.min(LOOK_AGAIN_MS, leftMs)), signal });
        ({ waits } = await this.look(call, waits, true));
      }
    } finally {
      listener.close();
    }
  }

  private load<Id, T>(
    call: ManyCall<Id, T>,
    shares: readonly OpenShare<Id>[],
    alone: readonly Open<Id>[],
  ): void {
    if (shares.length + alone.length === 0) return;
    const { plan, values, failure } = call;
    const wanted = [...shares.flatMap((share) => share.wanted), ...alone];
    const ids = wanted.sort((one, other) => one.order - other.order).map(({ id }) => id);
    const load = this.runs.startMany([...ids], shares, plan.loader, plan.options).then((loaded) => {
      for (const id of ids) if (loaded.has(id)) values.set(id, loaded.get(id)!);
    });
    load.catch(() => failure.abort());
    call.loads.push(load);
  }

  private async ask<Id, T>(
    call: ManyCall<Id, T>,
    open: readonly Open<Id>[],
    hasWaited: boolean,
  ): Promise<ManyAsked<Id>> {
    const asked: ManyAsked<Id> = { shares: [], waits: [], again: [], alone: [], hits: 0, failures: 0 };
    const groups = groupByBucket(open).map(([bucket, group]) =>
      this.askBucket(call, bucket, group, hasWaited, asked),
    );
    await Promise.all(groups);
    return asked;
  }

  private async askBucket<Id, T>(
    call: ManyCall<Id, T>,
    bucket: Bucket,
    group: readonly Open<Id>[],
    hasWaited: boolean,
    asked: ManyAsked<Id>,
  ): Promise<void> {
    const { token, plan } = call;
    const { remote, observers } = this.core;
    const { timeoutMs } = plan.options;
    const memory = plan.options.memory ? this.core.memory : undefined;
    const tickets = memory && group.map(({ key }) => memory.begin(key));
    const leaseMs = plan.options.leaseMs || ALONE_LEASE_MS;
    let reply: Awaited<ReturnType<typeof remote.leadMany>>;
    try {
      reply = await remote.leadMany(bucket, group, { token, leaseMs, hasWaited, timeoutMs });
    } catch (error) {
      for (const ticket of tickets ?? []) memory!.end(ticket);
      const keys = group.map(({ key }) => key);
      remote.withdraw(bucket, keys, token, timeoutMs, error);
      noteFailure(observers, 'read', 'readFailures', error);
      observers.recorder.add('readFailures', group.length - 1);
      asked.failures += group.length;
      asked.alone.push(...group);
      return;
    }
    observers.log.succeeded('read');
    const leads: Open<Id>[] = [];
    for (const [index, wanted] of group.entries()) {
      const answer = reply.answers[index]!;
      const ticket = tickets?.[index];
      if (answer.role === 'fresh') {
        const received = receive(
          this.core,
          wanted,
          reply.nowUs,
          answer.entry ?? undefined,
          ticket && { ticket },
        );
        const found = received instanceof Promise ? await received : received;
        if (!found) {
          replaceUnreadable(wanted, answer, asked);
          continue;
        }
        call.values.set(wanted.id, found.value as T);
        asked.hits += 1;
        continue;
      }
      if (ticket) memory!.end(ticket);
      // What was there when the wait began is not what is waited for.
      wanted.replace = answer.entry === null ? undefined : Number(answer.entry.toString());
      if (answer.role === 'lead') leads.push(wanted);
      else (answer.role === 'wait' ? asked.waits : asked.alone).push(wanted);
    }
    if (leads.length === 0) return;
    const keys = leads.map(({ key }) => key);
    const lease = this.runs.lease(bucket, keys, plan.options, { token, stampUs: reply.stampUs });
    asked.shares.push({ lease, wanted: leads });
  }
}

/** Something fresh is there that this cache cannot read: only a load replaces it. */
function replaceUnreadable<Id>(wanted: Open<Id>, { entry }: ManyAnswer, asked: ManyAsked<Id>): void {
  const seenUs = stampOf(entry);
  const isNew = seenUs !== undefined && seenUs !== wanted.replace;
  wanted.replace = seenUs;
  (isNew ? asked.again : asked.alone).push(wanted);
}
