/** @internal Field of a job's hash: since when it may run, where Rednest itself put it back or off. */
export const SINCE_FIELD = 'rednest:since';

/** @internal Fields of a job's hash that {@link waitingSince} reads, in its order. */
export const WAITING_FIELDS = ['timestamp', 'opts', 'processedOn', 'attemptsMade', SINCE_FIELD] as const;

/**
 * Since when a job waits, in milliseconds since the Unix epoch: not since it was added where it was delayed,
 * scheduled, put off, tried again or put back. Back-off counts without its jitter, so an age may be told too
 * short by half a back-off, never too long.
 *
 * @returns `undefined` for a job that is gone
 * @internal
 */
export function waitingSince(fields: readonly (string | null)[]): number | undefined {
  const [timestamp, opts, processedOn, attemptsMade, since] = fields;
  if (timestamp === null || timestamp === undefined) return undefined;
  const { delay, prevMillis, backoff } = JSON.parse(opts ?? '{}') as StoredOptions;
  const added = Number(timestamp) + (delay ?? 0);
  const tried = processedOn ? Number(processedOn) + backoffMs(backoff, Number(attemptsMade)) : 0;
  return Math.max(added, prevMillis ?? 0, tried, Number(since ?? 0));
}

interface StoredOptions {
  readonly delay?: number;
  readonly prevMillis?: number;
  readonly backoff?: number | { readonly type?: string; readonly delay?: number };
}

function backoffMs(backoff: StoredOptions['backoff'], attemptsMade: number): number {
  if (typeof backoff === 'number') return backoff;
  const { type, delay = 0 } = backoff ?? {};
  return type === 'exponential' ? delay * 2 ** Math.max(0, attemptsMade - 1) : delay;
}
