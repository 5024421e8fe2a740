import { RednestError, type Outcome } from '../common/index.js';

/**
 * Thrown when a job could not be handed to Redis in time. `outcome` says whether it may be in the
 * queue all the same; answer 503 with `Retry-After`.
 */
export class QueueUnavailableError extends RednestError {
  override readonly name = 'QueueUnavailableError';
  override readonly code = 'ERR_QUEUE_UNAVAILABLE';

  constructor(
    /** Name of the queue the job was meant for. */
    readonly queue: string,
    /** `not-sent` and `refused`: the job is not queued. `unknown`: it may be. */
    readonly outcome: Outcome,
    /** Suggested wait before the next try, in milliseconds. */
    readonly retryAfterMs: number,
    options?: ErrorOptions,
  ) {
    super(`Queue "${queue}" is unavailable (${outcome}); try again in ${retryAfterMs} ms`, options);
  }
}

/** Thrown when a queue is used that no module registered. */
export class UnknownQueueError extends RednestError {
  override readonly name = 'UnknownQueueError';
  override readonly code = 'ERR_QUEUE_UNKNOWN';

  constructor(
    /** Name that was asked for. */
    readonly queue: string,
  ) {
    super(`Queue "${queue}" is not registered; add QueueModule.forFeature(['${queue}']) to a module`);
  }
}

/** Thrown when a job arrives for which the processor has no handler; the job fails without a retry. */
export class UnhandledJobError extends RednestError {
  override readonly name = 'UnhandledJobError';
  override readonly code = 'ERR_JOB_UNHANDLED';

  constructor(
    /** Name of the queue the job came from. */
    readonly queue: string,
    /** Name of the job no handler is registered for. */
    readonly jobName: string,
  ) {
    super(`Queue "${queue}" has no handler for job "${jobName}"; add a method with @OnJob('${jobName}')`);
  }
}
