import { DIAGNOSTICS, DiagnosticsPublisher, type CallFailureDiagnostic } from '../common/index.js';
import { AbortSignals } from './abort-signals.js';
import type { CircuitBreaker } from './circuit-breaker.js';
import type { RedisClient } from './client-factory.js';
import { CommandTimers } from './command-timers.js';
import type { DeadlineQueue } from './deadline-queue.js';
import type { ManagedConnection } from './managed-connection.js';
import { PendingCall, type SentCommand } from './pending-call.js';
import {
  RedisAbortedError,
  RedisOverloadedError,
  RedisUnavailableError,
  type CallContext,
  type RedisCallError,
} from './redis.errors.js';
import { RetryBudget } from './retry-budget.js';
import type { LuaScript, ScriptArguments } from './script.js';
import { Silence } from './silence.js';
import { WriteGathering } from './write-gathering.js';
import { TopologyWatch } from './topology-watch.js';

/** Deadline of a call that names none, in milliseconds. */
export const DEFAULT_DEADLINE_MS = 1500;

/** Calls on their way at the same time, per connection. */
const MAX_IN_FLIGHT = 10_000;

/** Calls waiting for a connection at the same time, per connection. */
const MAX_WAITING = 1_000;

/** After this long without a connection, calls fail at once instead of waiting. */
const FAIL_FAST_AFTER_MS = 1_000;

/** Time a sign of life may take, in milliseconds. */
const PROBE_MS = 500;

/** Per-call settings of {@link RedisExecutor}. */
export interface CallOptions {
  /** Time for the whole call, waiting for a connection and retries included. Milliseconds. @default 1500 */
  deadlineMs?: number;
  /**
   * The call may be sent again after its connection broke, because it reads or carries a token that
   * makes a repetition harmless. Retried at most twice, inside the deadline and a budget of a tenth
   * of the successful calls.
   *
   * @default false
   */
  idempotent?: boolean;
  /** Ends the call early. */
  signal?: AbortSignal;
}

/**
 * The one way capabilities talk to Redis. Every call ends within its deadline; a call that finds
 * no connection waits for one inside that deadline and is never left in the client's queue to run
 * later; every error says what is known about its effect and carries no command arguments. While the
 * server is known to be away, calls fail at once.
 */
export class RedisExecutor {
  private readonly context: ExecutorContext;

  /** @internal */
  constructor(link: ManagedConnection, deadlines: DeadlineQueue, breaker: CircuitBreaker) {
    this.context = new ExecutorContext(link, deadlines, breaker);
  }

  /** Whether a call made now would be written at once. */
  get isReady(): boolean {
    return this.context.link.isReady && !this.context.breaker.isOpen;
  }

  /** Calls on their way now. */
  get inFlight(): number {
    return this.context.inFlight;
  }

  /**
   * Runs `call` with the connection's client. Sends nothing on its own: the round trips are those
   * of `call`.
   *
   * @param operation short name for errors and diagnostics, such as `cache.get`
   * @throws {RedisTimeoutError} when the deadline passes
   * @throws {RedisUnavailableError} when there is no connection, or it broke during the call
   * @throws {RedisCommandError} when the server refused the command
   * @throws {RedisOverloadedError} when too many calls are on their way or waiting
   * @throws {RedisAbortedError} when `signal` is aborted
   */
  run<T>(operation: string, call: (client: RedisClient) => Promise<T>, options?: CallOptions): Promise<T> {
    return this.start(operation, call, options, undefined);
  }

  /**
   * Runs a script by its hash, sending the source only if the server does not know it. One round
   * trip, two when the script cache is cold.
   *
   * @throws the same errors as {@link run}
   * @see https://redis.io/docs/latest/commands/evalsha/
   */
  script<Keys extends ScriptArguments, Args extends ScriptArguments, Reply>(
    operation: string,
    script: LuaScript<Keys, Args, Reply>,
    keys: Keys,
    args: Args,
    options?: CallOptions,
  ): Promise<Reply> {
    const count = keys.length;
    const sendHash = (client: unknown): Promise<Reply> =>
      (client as ScriptRunner<Reply>).evalsha(script.sha1, count, keys, args);
    const sendSource = (client: unknown): Promise<Reply> =>
      (client as ScriptRunner<Reply>).eval(script.lua, count, keys, args);
    return this.start(operation, sendHash, options, sendSource);
  }

  /**
   * The client for a library that sends commands by itself, within calls of this executor that take
   * `deadlineMs` at most. When that is longer than the command timeout of the connection, its commands have
   * none: the deadline of the call governs, and the socket timeout ends what is left.
   */
  clientFor(deadlineMs: number): RedisClient {
    return this.context.timers.clientFor(deadlineMs);
  }

  private start<T>(
    operation: string,
    command: SentCommand<T>,
    options: CallOptions | undefined,
    whenUnknown: SentCommand<T> | undefined,
  ): Promise<T> {
    const { context } = this;
    const refusal = context.refusal(operation, options?.signal);
    if (refusal) return Promise.reject(context.report(refusal));
    const deadlineMs = options?.deadlineMs ?? DEFAULT_DEADLINE_MS;
    return new Promise<T>((resolve, reject) => {
      new PendingCall(context, operation, command, deadlineMs, options, resolve, reject, whenUnknown).start();
    });
  }
}

/** The client flattens arrays among its arguments by itself; to spread them first is to copy them twice. */
interface ScriptRunner<Reply> {
  evalsha(sha1: string, count: number, keys: ScriptArguments, args: ScriptArguments): Promise<Reply>;
  eval(lua: string, count: number, keys: ScriptArguments, args: ScriptArguments): Promise<Reply>;
}

/** What the calls of one executor share. @internal */
export class ExecutorContext {
  /** Calls written and not answered yet. */
  inFlight = 0;
  readonly budget = new RetryBudget();
  readonly silence = new Silence();
  readonly signals = new AbortSignals();
  readonly timers: CommandTimers;
  readonly writes: WriteGathering;
  readonly topology: TopologyWatch;
  private readonly failures = new DiagnosticsPublisher<CallFailureDiagnostic>(DIAGNOSTICS.command);

  constructor(
    readonly link: ManagedConnection,
    readonly deadlines: DeadlineQueue,
    readonly breaker: CircuitBreaker,
  ) {
    this.timers = new CommandTimers(link);
    this.writes = new WriteGathering(link.client);
    // What opened the circuit was most likely the master that is gone.
    this.topology = new TopologyWatch(link, () => breaker.close());
  }

  /** The server answered a call. */
  answered(): void {
    this.link.answers += 1;
    this.breaker.succeeded();
    this.budget.earn();
  }

  /** Asks the server for a sign of life, in bounded time. */
  readonly probe = (): Promise<unknown> =>
    new Promise((resolve, reject) => {
      if (!this.link.isReady) {
        reject(new Error('not connected'));
        return;
      }
      this.deadlines.add(PROBE_MS, () => reject(new Error('no answer')));
      this.link.client.ping().then(resolve, (error: unknown) => {
        if (isAnswer(error)) resolve(undefined);
        else reject(error);
      });
    });

  /** Why a call must not even start; `undefined` when it may. */
  refusal(operation: string, signal: AbortSignal | undefined): RedisCallError | undefined {
    const { link, breaker } = this;
    if (breaker.isOpen) return this.unavailable(operation, `circuit open for ${round(breaker.openForMs)} ms`);
    if (this.inFlight >= MAX_IN_FLIGHT) {
      return new RedisOverloadedError(`${this.inFlight} calls on their way`, this.notSent(operation));
    }
    if (signal?.aborted) return new RedisAbortedError(this.notSent(operation));
    return link.isReady ? undefined : this.refusalWhileDown(operation);
  }

  /** Publishes a failure and passes it on. */
  report(error: RedisCallError): RedisCallError {
    this.failures.publish(() => ({
      connection: error.connection,
      role: this.link.role,
      operation: error.operation,
      code: error.code,
      outcome: error.outcome,
    }));
    return error;
  }

  private refusalWhileDown(operation: string): RedisCallError | undefined {
    const { client, downForMs, waiting } = this.link;
    if (client.status === 'end' || downForMs > FAIL_FAST_AFTER_MS) {
      return this.unavailable(operation, `${client.status} for ${round(downForMs)} ms`);
    }
    if (waiting >= MAX_WAITING) {
      return new RedisOverloadedError(`${waiting} calls waiting for a connection`, this.notSent(operation));
    }
    return undefined;
  }

  private unavailable(operation: string, reason: string): RedisCallError {
    return new RedisUnavailableError(reason, this.notSent(operation));
  }

  private notSent(operation: string): CallContext {
    return { connection: this.link.connection, operation, outcome: 'not-sent' };
  }
}

const round = Math.round;

/**
 * A server that cannot save its data refuses PING, and so may an ACL: both still serve reads. One
 * that serves nothing says so in other words.
 */
function isAnswer(error: unknown): boolean {
  const { name, message = '' } = (error ?? {}) as Partial<Error>;
  return name === 'ReplyError' && !/^(LOADING|CLUSTERDOWN|MASTERDOWN|TRYAGAIN)/.test(message);
}
