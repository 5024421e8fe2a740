import { DelayedError, type Job } from 'bullmq';

/** Longest time a job is put off by one error, in milliseconds. */
const LONGEST_MS = 86_400_000;

/**
 * How long an error asks to wait: any error with a `retryAfterMs` above 0, such as that of a limit that was
 * reached. `undefined` for all others.
 */
export function retryAfterOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const { retryAfterMs } = error as { retryAfterMs?: unknown };
  if (typeof retryAfterMs !== 'number' || !(retryAfterMs > 0)) return undefined;
  return Math.min(Math.ceil(retryAfterMs), LONGEST_MS);
}

/**
 * Puts a running job off. It gives up its lock and comes back when the time is over; the attempt does not
 * count.
 *
 * @returns the error that tells the worker so
 */
export async function postpone(job: Job, token: string | undefined, waitMs: number): Promise<DelayedError> {
  await job.moveToDelayed(Date.now() + waitMs, token);
  return new DelayedError();
}
