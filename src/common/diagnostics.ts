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
  connection: string;
  role: string;
  /** Operation name the capability gave, such as `cache.get`. */
  operation: string;
  /** Error code, `ERR_REDIS_...`. */
  code: string;
  /** What is known about the effect. */
  outcome: 'not-sent' | 'refused' | 'unknown';
}

/** Payload of {@link DIAGNOSTICS.cache}. Keys are not part of it. */
export interface CacheDiagnostic {
  event:
    | 'hit'
    | 'miss'
    | 'load'
    | 'load-error'
    | 'write'
    | 'write-failed'
    | 'bypass'
    | 'corrupt'
    | 'delete'
    | 'delete-failed';
}

/** Payload of {@link DIAGNOSTICS.rateLimit}. Identities are not part of it. */
export interface RateLimitDiagnostic {
  policy: string;
  allowed: boolean;
  /** Who decided: the server, or the fallback while the server was unreachable. */
  source: 'redis' | 'fallback';
}

/** Payload of {@link DIAGNOSTICS.queue}. */
export interface QueueDiagnostic {
  event: 'added' | 'deduplicated' | 'add-failed' | 'started' | 'completed' | 'failed' | 'drained';
  queue: string;
  jobName?: string;
  jobId?: string;
}

/** Payload of {@link DIAGNOSTICS.shutdown}. */
export interface ShutdownDiagnostic {
  phase: 'draining' | 'handlers-done' | 'handlers-timeout' | 'connections-closed';
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

  /** Builds and publishes the message if anybody listens. */
  publish(message: () => T): void {
    if (this.channel.hasSubscribers) this.channel.publish(message());
  }
}
