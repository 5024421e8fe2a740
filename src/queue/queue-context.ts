import { AsyncLocalStorage } from 'node:async_hooks';

/** What follows a request into the jobs it adds, and a job into its handler. */
export interface QueueScope {
  /** Tenant the work is done for. */
  readonly tenantId?: string | null;
  /** `traceparent` of W3C Trace Context. */
  readonly traceparent?: string;
  /** `tracestate` of W3C Trace Context. */
  readonly tracestate?: string;
}

/**
 * The scope the current code runs in. Jobs take their tenant and trace from it; around a handler it is
 * that of the job, so that what the handler adds belongs to the same tenant and trace.
 *
 * @example
 * // in a middleware
 * context.run({ tenantId: request.tenantId, traceparent: request.headers.traceparent }, next);
 */
export class QueueContext {
  private readonly storage = new AsyncLocalStorage<QueueScope>();

  /** The scope in force; `undefined` outside of {@link run} and of handlers. */
  get current(): QueueScope | undefined {
    return this.storage.getStore();
  }

  /** Runs `work`, and everything it awaits or starts, in a scope. */
  run<T>(scope: QueueScope, work: () => T): T {
    return this.storage.run(scope, work);
  }
}
