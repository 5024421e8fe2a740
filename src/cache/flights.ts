import type { CopyReader } from './memory-tier.js';
import { FOR_ALL, type Turn } from './turns.js';

/**
 * What the server says of a loaded value: nothing newer was written or invalidated until it was there, something
 * was, or it is not known.
 */
export type Verdict = 'current' | 'overtaken' | 'unknown';

/** What a caller wants, as far as it decides whose work it can share. */
export interface FlightPlan {
  /** Key of the entry. */
  readonly key: string;
  /** Loads although a fresh value is there. */
  readonly force: boolean;
  /** How it reads values: what is nothing to one version of their shape is a value to another. */
  readonly view: CopyReader;
}

/** A read or load that callers share. */
export interface Flight {
  /** Settles after the shared promise; never rejects. */
  verdict: Promise<Verdict> | Verdict;
  /**
   * Turn in which what is shared was asked for, where the verdict is `unknown`. Who joined later may have been
   * told of a newer write meanwhile.
   */
  asOf: Turn;
}

/** A flight, and the promise it shares until it has landed. A class for the reason of `listOf`. */
class RunningFlight<T> implements Flight {
  value: Promise<T> | undefined = undefined;
  verdict: Promise<Verdict> | Verdict = 'unknown';
  asOf: Turn = FOR_ALL;

  constructor(readonly plan: FlightPlan) {}
}

/** Reads and loads that are running, by key of the entry. */
export class Flights {
  private readonly running = new Map<string, RunningFlight<unknown>>();
  private joinedCount = 0;

  /** Running now. */
  get size(): number {
    return this.running.size;
  }

  /** Callers so far that shared the work of another. */
  get joined(): number {
    return this.joinedCount;
  }

  /**
   * Shares the running work of `key`, or starts it. Who joins began after the work did, so a value that
   * was overtaken in between, or read before they came, is too old for them: they start anew. Who wants a
   * load does not join a read.
   */
  run<T>(plan: FlightPlan, start: (flight: Flight) => Promise<T>): Promise<T> {
    const running = this.find<T>(plan);
    return running ? this.join(running, plan, start) : this.launch(plan, start);
  }

  /** The key changed: whoever asks from now on starts anew. */
  void(key: string): void {
    this.running.delete(key);
  }

  /** Anything whose key begins like this may have changed. */
  voidUnder(prefix: string): void {
    for (const key of this.running.keys()) if (key.startsWith(prefix)) this.running.delete(key);
  }

  /** Anything may have changed. */
  voidAll(): void {
    this.running.clear();
  }

  private find<T>(plan: FlightPlan): RunningFlight<T> | undefined {
    const running = this.running.get(plan.key) as RunningFlight<T> | undefined;
    return running && isShareable(running.plan, plan) ? running : undefined;
  }

  private async join<T>(
    first: RunningFlight<T>,
    plan: FlightPlan,
    start: (flight: Flight) => Promise<T>,
  ): Promise<T> {
    const { key } = plan;
    const joinedMs = performance.now();
    // Once, however often it has to look for another one: it is callers that are counted.
    this.joinedCount += 1;
    let running: RunningFlight<T> | undefined = first;
    for (let attempt = 0; running; attempt += 1) {
      const value: T = await running.value!;
      const verdict: Verdict = typeof running.verdict === 'string' ? running.verdict : await running.verdict;
      if (verdict === 'current' || (verdict === 'unknown' && joinedMs <= running.asOf.endedMs)) return value;
      if (attempt === MAX_RESTARTS) return value;
      if (this.running.get(key) === running) this.running.delete(key);
      running = this.find<T>(plan);
    }
    return this.launch(plan, start);
  }

  private launch<T>(plan: FlightPlan, start: (flight: Flight) => Promise<T>): Promise<T> {
    const { key } = plan;
    const flight = new RunningFlight<T>(plan);
    const land = (): void => {
      if (this.running.get(key) === flight) this.running.delete(key);
      // A map that changes with every call keeps what it held reachable until the next full collection.
      flight.value = undefined;
    };
    const value = start(flight);
    flight.value = value;
    this.running.set(key, flight);
    value.then(land, land);
    return value;
  }
}

function isShareable(running: FlightPlan, wanted: FlightPlan): boolean {
  if (wanted.force && !running.force) return false;
  const { version, codec } = running.view;
  return version === wanted.view.version && codec === wanted.view.codec;
}

/** A key that changes faster than it loads would keep callers for ever. */
const MAX_RESTARTS = 3;
