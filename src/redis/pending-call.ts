import type { Outcome } from '../common/index.js';
import type { RedisClient } from './client-factory.js';
import { Deadline } from './deadline-queue.js';
import { toCallError } from './error-mapping.js';
import type { ExecutorContext } from './executor.js';
import {
  RedisAbortedError,
  RedisTimeoutError,
  RedisUnavailableError,
  type RedisCallError,
} from './redis.errors.js';

/** Retries of a call that may be sent again. */
const MAX_RETRIES = 2;

/** What a {@link PendingCall} runs. */
export interface CallRequest<T> {
  readonly operation: string;
  readonly call: (client: RedisClient) => Promise<T>;
  readonly deadlineMs: number;
  readonly idempotent: boolean;
  readonly signal: AbortSignal | undefined;
}

/**
 * One call from its start to its end: waits for a connection, is sent, perhaps sent again, and
 * settles exactly once, at its deadline at the latest.
 */
export class PendingCall<T> extends Deadline {
  private sent = false;
  private settled = false;
  private retries = 0;
  private stopWaiting: (() => void) | undefined;

  constructor(
    private readonly context: ExecutorContext,
    private readonly request: CallRequest<T>,
    private readonly resolve: (value: T) => void,
    private readonly reject: (error: RedisCallError) => void,
  ) {
    super();
  }

  /** Starts the deadline and sends the call, or waits until it can be sent. */
  start(): void {
    const { signal, deadlineMs } = this.request;
    this.context.deadlines.start(this, deadlineMs);
    if (signal) signal.addEventListener('abort', this.onAbort, { once: true });
    this.sendWhenReady();
  }

  override expire(stalledMs: number): void {
    const { context } = this;
    const { deadlineMs } = this.request;
    if (
      this.sent &&
      stalledMs === 0 &&
      context.silence.isLong(context.link.answers, this.expiresAtMs - deadlineMs)
    ) {
      context.breaker.failed(context.probe);
    }
    this.fail(
      new RedisTimeoutError(deadlineMs, this.describe(this.sent ? 'unknown' : 'not-sent'), stalledMs),
    );
  }

  private sendWhenReady(): void {
    const { link } = this.context;
    if (link.isReady) this.send();
    else this.stopWaiting = link.onceReady(() => this.send());
  }

  private send(): void {
    this.stopWaiting = undefined;
    this.sent = true;
    this.context.inFlight += 1;
    this.invoke().then(this.onValue, this.onError);
  }

  /** Also turns what the call throws synchronously into a rejection. */
  private invoke(): Promise<T> {
    try {
      return this.request.call(this.context.link.client);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  private readonly onValue = (value: T): void => {
    const { context } = this;
    context.inFlight -= 1;
    context.answered();
    if (this.settled) return;
    this.settle();
    this.resolve(value);
  };

  private readonly onError = (cause: unknown): void => {
    const { context, request } = this;
    context.inFlight -= 1;
    const { operation, deadlineMs } = request;
    const error = toCallError(cause, { connection: context.link.connection, operation, deadlineMs });
    const isTransport = error instanceof RedisUnavailableError || error instanceof RedisTimeoutError;
    // A lost connection is waited for, or given up, by its own rule; the circuit is for servers that
    // are reached and do not serve.
    if (isTransport && error.outcome === 'refused') context.breaker.failed(context.probe);
    if (!isTransport) context.answered();
    if (this.settled) return;
    if (isTransport && this.mayRetry()) this.retry();
    else this.fail(error);
  };

  private readonly onAbort = (): void => {
    this.fail(new RedisAbortedError(this.describe(this.sent ? 'unknown' : 'not-sent')));
  };

  private mayRetry(): boolean {
    const { idempotent } = this.request;
    return (
      idempotent && this.retries < MAX_RETRIES && !this.context.breaker.isOpen && this.context.budget.spend()
    );
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
    this.context.report(error);
    this.reject(error);
  }

  private settle(): void {
    this.settled = true;
    this.cancel();
    this.stopWaiting?.();
    this.request.signal?.removeEventListener('abort', this.onAbort);
  }

  private describe(outcome: Outcome) {
    return { connection: this.context.link.connection, operation: this.request.operation, outcome };
  }
}
