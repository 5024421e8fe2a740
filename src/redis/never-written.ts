/** Marks errors of commands that never left this process. */
const NEVER_WRITTEN = Symbol('rednest:never-written');

/** Errors the client ends waiting commands with when their connection is lost, or could not be made. */
const LOST = /^(Connection is closed\.|Reached the max retries per request limit)/;

interface Flushing {
  readonly isCluster: boolean;
  readonly options: { maxRetriesPerRequest?: number | null };
  flushQueue?(error: Error, which?: { offlineQueue?: boolean; commandQueue?: boolean }): void;
}

/**
 * Makes a client tell commands that still waited for a connection from those that were on their way when
 * it was lost: it ends both with one and the same error. A client that sends commands again keeps sent ones
 * among those that wait, so it is left as it is.
 */
export function tellNeverWritten(client: Flushing): void {
  const flush = client.flushQueue?.bind(client);
  if (!flush || (!client.isCluster && client.options.maxRetriesPerRequest !== 0)) return;
  client.flushQueue = (error, which = {}) => {
    const { offlineQueue = true, commandQueue = true } = which;
    const waiting = LOST.test(error.message) ? neverWritten(error) : error;
    if (offlineQueue) flush(waiting, { offlineQueue: true, commandQueue: false });
    // The queue of a Cluster client is an offline queue only.
    if (commandQueue && !client.isCluster) flush(error, { offlineQueue: false, commandQueue: true });
  };
}

/** Whether the command an error belongs to certainly never left this process. */
export function wasNeverWritten(error: unknown): boolean {
  return typeof error === 'object' && error !== null && NEVER_WRITTEN in error;
}

function neverWritten(cause: Error): Error {
  const error = new Error(cause.message);
  Object.defineProperty(error, 'name', { value: cause.name, configurable: true });
  Object.defineProperty(error, NEVER_WRITTEN, { value: true });
  return error;
}
