import { DIAGNOSTICS, DiagnosticsPublisher, type CallFailureDiagnostic } from '../common/index.js';
import type { RedisClient } from './client-factory.js';
import type { DeadlineQueue } from './deadline-queue.js';
import { toCallError } from './error-mapping.js';
import type { ManagedConnection } from './managed-connection.js';
import { RedisTimeoutError, RedisUnavailableError, type RedisCallError } from './redis.errors.js';
import type { LuaScript, ScriptArguments } from './script.js';

/** Deadline of a call that names none, in milliseconds. */
export const DEFAULT_DEADLINE_MS = 1500;

/** Per-call settings of {@link RedisExecutor}. */
export interface CallOptions {
  /** Time for the whole call, waiting for a connection included. Milliseconds. @default 1500 */
  deadlineMs?: number;
}

/**
 * The one way capabilities talk to Redis. Every call ends within its deadline; a call that finds
 * no connection waits for one inside that deadline and is never left in the client's queue to run
 * later; every error says what is known about its effect and carries no command arguments.
 */
export class RedisExecutor {
  private readonly failures = new DiagnosticsPublisher<CallFailureDiagnostic>(DIAGNOSTICS.command);

  /** @internal */
  constructor(
    private readonly link: ManagedConnection,
    private readonly deadlines: DeadlineQueue,
    /** After this long without a connection, calls fail at once instead of waiting. */
    private readonly failFastAfterMs = 1000,
  ) {}

  /** Whether a call made now would be written at once. */
  get isReady(): boolean {
    return this.link.isReady;
  }

  /**
   * Runs `call` with the connection's client. Sends nothing on its own: the round trips are those
   * of `call`.
   *
   * @param operation short name for errors and diagnostics, such as `cache.get`
   * @throws {RedisTimeoutError} when the deadline passes
   * @throws {RedisUnavailableError} when there is no connection, or it broke during the call
   * @throws {RedisCommandError} when the server refused the command
   */
  run<T>(operation: string, call: (client: RedisClient) => Promise<T>, options?: CallOptions): Promise<T> {
    const deadlineMs = options?.deadlineMs ?? DEFAULT_DEADLINE_MS;
    if (!this.link.isReady && this.isHopeless()) return Promise.reject(this.refused(operation));
    return new Promise<T>((resolve, reject) => {
      let stopWaiting: (() => void) | undefined;
      const deadline = this.deadlines.add(deadlineMs, () => {
        stopWaiting?.();
        reject(this.expired(operation, deadlineMs, stopWaiting ? 'not-sent' : 'unknown'));
      });
      const send = (): void => {
        stopWaiting = undefined;
        this.invoke(call).then(
          (value) => {
            deadline.cancel();
            resolve(value);
          },
          (error: unknown) => {
            deadline.cancel();
            reject(this.failed(operation, deadlineMs, error));
          },
        );
      };
      if (this.link.isReady) send();
      else stopWaiting = this.link.onceReady(send);
    });
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
    const parts = [...keys, ...args];
    const call = async (client: RedisClient): Promise<Reply> => {
      try {
        return (await client.evalsha(script.sha1, keys.length, ...parts)) as Reply;
      } catch (error) {
        if (!(error as Error).message?.startsWith('NOSCRIPT')) throw error;
        return (await client.eval(script.lua, keys.length, ...parts)) as Reply;
      }
    };
    return this.run(operation, call, options);
  }

  /** Also turns what `call` throws synchronously into a rejection. */
  private invoke<T>(call: (client: RedisClient) => Promise<T>): Promise<T> {
    try {
      return call(this.link.client);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Whether waiting for the connection is not worth a caller's time. */
  private isHopeless(): boolean {
    return this.link.downForMs > this.failFastAfterMs || this.link.client.status === 'end';
  }

  private refused(operation: string): RedisCallError {
    const { connection, downForMs, client } = this.link;
    const reason = `${client.status} for ${Math.round(downForMs)} ms`;
    return this.report(new RedisUnavailableError(reason, { connection, operation, outcome: 'not-sent' }));
  }

  private expired(operation: string, deadlineMs: number, outcome: 'not-sent' | 'unknown'): RedisCallError {
    const { connection } = this.link;
    return this.report(new RedisTimeoutError(deadlineMs, { connection, operation, outcome }));
  }

  private failed(operation: string, deadlineMs: number, error: unknown): RedisCallError {
    return this.report(toCallError(error, { connection: this.link.connection, operation, deadlineMs }));
  }

  private report(error: RedisCallError): RedisCallError {
    this.failures.publish(() => ({
      connection: error.connection,
      role: this.link.role,
      operation: error.operation,
      code: error.code,
      outcome: error.outcome,
    }));
    return error;
  }
}
