import { channel, type Channel } from 'node:diagnostics_channel';

/** Payload of {@link DIAGNOSTICS.connection}: a connection changed its state. */
export interface ConnectionDiagnostic {
  /** Name of the server as configured; `default` for the first one. */
  connection: string;
  /** What the connection is for: `command`, `subscriber`, `worker`, ... */
  role: string;
  /** State entered. */
  state: 'connect' | 'ready' | 'error' | 'close' | 'reconnecting' | 'end';
  /** Error code for `error` (for example `ECONNREFUSED`); never a message with arguments. */
  errorCode?: string;
}

/** Payload of {@link DIAGNOSTICS.command}: a call through the executor failed. */
export interface CallFailureDiagnostic {
  /** Name of the connection as configured. */
  connection: string;
  /** Role of the connection that carried the call, such as `command`. */
  role: string;
  /** Operation name the capability gave, such as `cache.get`. */
  operation: string;
  /** Error code, `ERR_REDIS_...`. */
  code: string;
  /** What is known about the effect. */
  outcome: 'not-sent' | 'refused' | 'unknown';
}

/** Payload of {@link DIAGNOSTICS.circuit}: the circuit breaker of a connection opened or closed. */
export interface CircuitDiagnostic {
  /** Name of the server as configured. */
  connection: string;
  /** State entered. */
  state: 'open' | 'closed';
  /** How long it had been open, in milliseconds; 0 when it opens. */
  openMs: number;
}

/** Payload of {@link DIAGNOSTICS.cache}. Keys are not part of it. */
export interface CacheDiagnostic {
  /**
   * What happened. `bypass`: a read failed or timed out; `corrupt`: an entry was unusable; `stale`: a stale
   * value was answered; `wait`: another process loads; `discard`: a loaded value was overtaken and not kept.
   */
  event:
    | 'hit'
    | 'miss'
    | 'stale'
    | 'load'
    | 'load-error'
    | 'wait'
    | 'write'
    | 'write-failed'
    | 'discard'
    | 'bypass'
    | 'corrupt'
    | 'delete'
    | 'delete-failed'
    | 'invalidate'
    | 'invalidate-failed';
}

/** Payload of {@link DIAGNOSTICS.rateLimit}. Identities are not part of it. */
export interface RateLimitDiagnostic {
  /** Name of the policy; one message per policy of a call. */
  policy: string;
  /** Whether the policy let the call pass; `false` as well when it would have refused but is in shadow mode. */
  allowed: boolean;
  /** Whether the policy is in shadow mode and would have refused. */
  shadow: boolean;
  /**
   * Who decided: the server, this process by a refusal it remembers, or, while the server does not answer,
   * this process alone (`local`), nobody (`open`), or nobody and that was a refusal (`closed`).
   */
  source: 'redis' | 'deny-cache' | 'local' | 'open' | 'closed';
  /** Limit of the policy; absent when nobody decided. */
  limit?: number;
  /** Units left afterwards; absent when nobody decided. */
  remaining?: number;
}

/** Payload of {@link DIAGNOSTICS.queue}. */
export interface QueueDiagnostic {
  /**
   * What happened. `deduplicated`: the notification had a job already. `failed`: one attempt did,
   * `dead`: the last one, `postponed`: the job waits because a limit was reached, `stalled`: its worker
   * gave no sign of life. `drained`: a worker that had jobs got no further one: none waits, or the queue is paused.
   * `peeked`, `replayed` and `discarded` are about dead jobs, `swept` about ended
   * ones that were kept long enough. `fairness-exhausted`: tenants are served first come, first served.
   */
  event:
    | 'added'
    | 'deduplicated'
    | 'add-failed'
    | 'started'
    | 'completed'
    | 'failed'
    | 'dead'
    | 'postponed'
    | 'stalled'
    | 'released'
    | 'drained'
    | 'peeked'
    | 'replayed'
    | 'discarded'
    | 'swept'
    | 'fairness-exhausted';
  /** Name of the queue, without the key prefix. */
  queue: string;
  /** Name of the job; absent where it is not known. */
  jobName?: string;
  /** Id of the job; absent where there is none, as for a failed add. */
  jobId?: string;
  /** Tenant of the job, where it has one. */
  tenantId?: string;
  /** How often it happened in this queue and process since the start, this time included. */
  total: number;
  /** How many jobs it is about; absent for one. */
  count?: number;
  /** How long the attempt took, for `completed` and `failed`; how long the job waits, for `postponed`. Milliseconds. */
  elapsedMs?: number;
}

/** Payload of {@link DIAGNOSTICS.shutdown}. */
export interface ShutdownDiagnostic {
  /** Step just reached. `handlers-timeout`: handlers were still running when their share of time ended. */
  phase: 'draining' | 'handlers-done' | 'handlers-timeout' | 'connections-closed';
  /** Milliseconds since the drain began; for `connections-closed`, since closing began. */
  elapsedMs: number;
}

/**
 * Names of the `node:diagnostics_channel` channels Rednest publishes to. Subscribe with
 * `subscribe(DIAGNOSTICS.cache, (message) => ...)`; with no subscriber nothing is built.
 */
export const DIAGNOSTICS = Object.freeze({
  /** {@link ConnectionDiagnostic} */
  connection: 'rednest:connection',
  /** {@link CallFailureDiagnostic} */
  command: 'rednest:command:failure',
  /** {@link CircuitDiagnostic} */
  circuit: 'rednest:circuit',
  /** {@link CacheDiagnostic} */
  cache: 'rednest:cache',
  /** {@link RateLimitDiagnostic} */
  rateLimit: 'rednest:rate-limit',
  /** {@link QueueDiagnostic} */
  queue: 'rednest:queue',
  /** {@link ShutdownDiagnostic} */
  shutdown: 'rednest:shutdown',
});

/** A typed diagnostics channel; `publish` takes a thunk so that an unheard event costs nothing. */
export class DiagnosticsPublisher<T extends object> {
  private readonly channel: Channel;

  constructor(name: string) {
    this.channel = channel(name);
  }

  /** Whether anybody listens; for those who would have to prepare more than a thunk. */
  get isHeard(): boolean {
    return this.channel.hasSubscribers;
  }

  /** Builds and publishes the message if anybody listens. */
  publish(message: () => T): void {
    if (this.channel.hasSubscribers) this.channel.publish(message());
  }
}
