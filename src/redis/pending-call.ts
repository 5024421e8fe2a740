import type { Outcome } from '../common/index.js';
import type { RedisClient } from './client-factory.js';
import { Deadline } from './deadline-queue.js';
import { toCallError } from './error-mapping.js';
import type { ExecutorContext } from './executor.js';
import {
  RedisAbortedError,
  RedisTimeoutError,
  RedisUnavailableError,
  type CallContext,
  type RedisCallError,
} from './redis.errors.js';

/** Retries of a call that may be sent again. */
const MAX_RETRIES = 2;

/** Settings of a {@link PendingCall} that most calls leave out. */
export interface CallSettings {
  readonly idempotent?: boolean;
  readonly signal?: AbortSignal;
}

/** Sends a command on a client. */
export type SentCommand<T> = (client: RedisClient) => Promise<T>;

/**
 * One call from its start to its end: waits for a connection, is sent, perhaps sent again, and
 * settles exactly once, at its deadline at the latest. There is one of these per command, so it
 * allocates little: the deadline is the call itself, and rare needs have no field of their own.
 */
export class PendingCall<T> extends Deadline {
  private sent = false;
  private settled = false;
  private retries = 0;
  /** Takes back what waits for the connection or the caller's signal. */
  private release: (() => void) | undefined = undefined;

  constructor(
    private readonly context: ExecutorContext,
    private readonly operation: string,
    private command: SentCommand<T>,
    private readonly deadlineMs: number,
    private readonly settings: CallSettings | undefined,
    private readonly resolve: (value: T) => void,
    private readonly reject: (error: RedisCallError) => void,
    /** Sends the source of the script whose hash {@link command} sends. */
    private whenUnknown: SentCommand<T> | undefined,
  ) {
    super();
  }

  /** Starts the deadline and sends the call, or waits until it can be sent. */
  start(): void {
    this.context.deadlines.start(this, this.deadlineMs);
    if (this.settings?.signal) this.follow(this.settings.signal);
    this.sendWhenReady();
  }

  override expire(stalledMs: number): void {
    const { deadlineMs } = this;
    if (this.sent && stalledMs === 0) {
      this.suspect();
      this.context.topology.trouble();
    }
    this.fail(new RedisTimeoutError(deadlineMs, this.describe(), stalledMs));
  }

  private follow(signal: AbortSignal): void {
    const onAbort = (): void => this.fail(new RedisAbortedError(this.describe()));
    this.release = this.context.signals.follow(signal, onAbort);
  }

  private sendWhenReady(): void {
    const { link } = this.context;
    if (link.isReady) {
      this.send();
      return;
    }
    const before = this.release;
    const stopWaiting = link.onceReady(() => {
      this.release = before;
      this.send();
    });
    this.release = () => {
      stopWaiting();
      before?.();
    };
  }

  private send(): void {
    const { context } = this;
    this.sent = true;
    context.inFlight += 1;
    context.writes.begin();
    let answer: Promise<T>;
    try {
      answer = context.timers.issue(this.command, this.deadlineMs);
    } catch (error) {
      this.onError(error, true);
      return;
    }
    answer.then(
      (value) => this.onValue(value),
      (error: unknown) => this.onError(error, false),
    );
  }

  private onValue(value: T): void {
    const { context } = this;
    context.inFlight -= 1;
    context.answered();
    if (this.settled) return;
    this.settle();
    this.resolve(value);
  }

  private onError(cause: unknown, neverSent: boolean): void {
    const { context, operation, deadlineMs } = this;
    context.inFlight -= 1;
    if (this.whenUnknown && isUnknownScript(cause)) {
      this.sendSource(this.whenUnknown);
      return;
    }
    const { connection } = context.link;
    const error = toCallError(cause, { connection, operation, deadlineMs, neverSent });
    const isTransport = error instanceof RedisUnavailableError || error instanceof RedisTimeoutError;
    // A lost connection is waited for, or given up, by its own rule; the circuit is for servers that
    // are reached and do not serve.
    if (isTransport) context.topology.trouble();
    if (isTransport && error.outcome === 'refused') this.suspect();
    if (!isTransport && !neverSent) context.answered();
    if (this.settled) return;
    if (isTransport && this.mayRetry()) this.retry();
    else this.fail(error);
  }

  /** The server does not know the script, so nothing has run: its source may go out in the time that is left. */
  private sendSource(source: SentCommand<T>): void {
    this.command = source;
    this.whenUnknown = undefined;
    this.context.answered();
    this.sent = false;
    if (!this.settled) this.sendWhenReady();
  }

  /** Counts against the server unless it has answered other calls: one shard of a Cluster may be away. */
  private suspect(): void {
    const { breaker, silence, link, probe } = this.context;
    if (silence.isLong(link.answers, this.expiresAtMs - this.deadlineMs)) breaker.failed(probe);
  }

  private mayRetry(): boolean {
    if (!this.settings?.idempotent || this.retries >= MAX_RETRIES) return false;
    return !this.context.breaker.isOpen && this.context.budget.spend();
  }

  /** Spread over a few milliseconds, so that calls that failed together do not return together. */
  private retry(): void {
    this.retries += 1;
    this.sent = false;
    const waitMs = this.retries * (5 + Math.random() * 20);
    setTimeout(() => {
      if (!this.settled) this.sendWhenReady();
    }, waitMs).unref();
  }

  private fail(error: RedisCallError): void {
    if (this.settled) return;
    this.settle();
    this.reject(this.context.report(error));
  }

  private settle(): void {
    this.settled = true;
    this.cancel();
    this.release?.();
  }

  private describe(): CallContext {
    const outcome: Outcome = this.sent || this.retries > 0 ? 'unknown' : 'not-sent';
    return { connection: this.context.link.connection, operation: this.operation, outcome };
  }
}

function isUnknownScript(cause: unknown): boolean {
  return (cause as Partial<Error> | null | undefined)?.message?.startsWith('NOSCRIPT') === true;
}
