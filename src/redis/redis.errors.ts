import { RednestError, type Outcome } from '../common/index.js';

/** Where and what a failed call was; carried by every {@link RedisCallError}. */
export interface CallContext {
  /** Connection name, `default` for the first server. */
  readonly connection: string;
  /** Operation as the capability named it, for example `cache.get`. */
  readonly operation: string;
  /** What is known about the effect of the call. */
  readonly outcome: Outcome;
}

/** Base of the errors a call through the executor can end with. */
export abstract class RedisCallError extends RednestError implements CallContext {
  readonly connection: string;
  readonly operation: string;
  readonly outcome: Outcome;

  constructor(message: string, context: CallContext) {
    super(message);
    this.connection = context.connection;
    this.operation = context.operation;
    this.outcome = context.outcome;
  }
}

/**
 * Thrown when no usable connection was there (`outcome: 'not-sent'`), or it broke while the
 * command was on its way (`outcome: 'unknown'`).
 */
export class RedisUnavailableError extends RedisCallError {
  override readonly name = 'RedisUnavailableError';
  override readonly code = 'ERR_REDIS_UNAVAILABLE';

  constructor(reason: string, context: CallContext) {
    super(
      `${context.operation}: Redis connection "${context.connection}" is unavailable (${reason})`,
      context,
    );
  }
}

/**
 * Thrown when a call did not end within its deadline. `outcome: 'not-sent'` when it was still
 * waiting for a connection, `'unknown'` when it had been written.
 */
export class RedisTimeoutError extends RedisCallError {
  override readonly name = 'RedisTimeoutError';
  override readonly code = 'ERR_REDIS_TIMEOUT';

  constructor(
    /** The deadline that passed, in milliseconds. */
    readonly deadlineMs: number,
    context: CallContext,
    /** How long the event loop of this process was blocked when the time ran out; 0 when it was not. */
    readonly stalledMs = 0,
  ) {
    const stall =
      stalledMs > 0 ? `; the event loop of this process was blocked for ${Math.round(stalledMs)} ms` : '';
    super(
      `${context.operation}: no answer from Redis "${context.connection}" within ${deadlineMs} ms${stall}`,
      context,
    );
  }
}

/**
 * Thrown when too many calls are on their way or waiting for a connection. Nothing was sent:
 * `outcome: 'not-sent'`.
 */
export class RedisOverloadedError extends RedisCallError {
  override readonly name = 'RedisOverloadedError';
  override readonly code = 'ERR_REDIS_OVERLOADED';

  constructor(reason: string, context: CallContext) {
    super(
      `${context.operation}: Redis connection "${context.connection}" is overloaded (${reason})`,
      context,
    );
  }
}

/** Thrown when the caller's `AbortSignal` ended the call. `outcome` says whether it had been written. */
export class RedisAbortedError extends RedisCallError {
  override readonly name = 'RedisAbortedError';
  override readonly code = 'ERR_REDIS_ABORTED';

  constructor(context: CallContext) {
    super(`${context.operation}: aborted by the caller`, context);
  }
}

/** Thrown when the server answered with an error. Its effect is none: `outcome: 'refused'`. */
export class RedisCommandError extends RedisCallError {
  override readonly name = 'RedisCommandError';
  override readonly code = 'ERR_REDIS_COMMAND';

  constructor(
    /** First word of the server's answer, such as `WRONGTYPE`, `OOM`, `NOPERM`, `READONLY`. */
    readonly reply: string,
    detail: string,
    context: CallContext,
  ) {
    super(`${context.operation}: Redis "${context.connection}" refused the command: ${detail}`, context);
  }
}

/** Thrown at start-up when a connection cannot become ready. */
export class RedisBootError extends RednestError {
  override readonly name = 'RedisBootError';
  override readonly code = 'ERR_REDIS_BOOT';

  constructor(
    message: string,
    /** Code or first word of the underlying error, such as `ECONNREFUSED` or `WRONGPASS`. */
    readonly reason: string,
    /** `true` when waiting longer cannot help: wrong password, certificate, database, ... */
    readonly permanent: boolean,
  ) {
    super(message);
  }
}
