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

/**
 * Thrown when a payload or result does not match the contract of its queue. Before an add nothing was
 * sent; in a worker the job fails without another attempt.
 */
export class JobValidationError extends RednestError {
  override readonly name = 'JobValidationError';
  override readonly code = 'ERR_JOB_INVALID';

  constructor(
    /** Name of the queue. */
    readonly queue: string,
    /** Name of the job. */
    readonly jobName: string,
    /** Which part does not match. */
    readonly part: 'data' | 'result',
    /** Paths of the fields that do not match. */
    readonly fields: readonly string[],
  ) {
    super(
      `The ${part} of job "${jobName}" does not match the contract of queue "${queue}": ${fields.join(', ')}`,
    );
  }
}

/** Thrown when a job is added to a queue whose jobs belong to tenants, and there is no tenant. */
export class MissingTenantError extends RednestError {
  override readonly name = 'MissingTenantError';
  override readonly code = 'ERR_JOB_TENANT';

  constructor(
    /** Name of the queue. */
    readonly queue: string,
    /** Name of the job. */
    readonly jobName: string,
  ) {
    super(
      `Job "${jobName}" of queue "${queue}" has no tenant; pass { tenantId }, add it inside ` +
        'QueueContext.run({ tenantId }, ...), or define the queue with tenant: false',
    );
  }
}

/** Thrown when a job is added whose name the contract of the queue does not know; nothing was sent. */
export class UnknownJobError extends RednestError {
  override readonly name = 'UnknownJobError';
  override readonly code = 'ERR_JOB_UNKNOWN';

  constructor(
    /** Name of the queue. */
    readonly queue: string,
    /** Name that was asked for. */
    readonly jobName: string,
  ) {
    super(`The contract of queue "${queue}" has no job "${jobName}"; declare it in defineQueue`);
  }
}
