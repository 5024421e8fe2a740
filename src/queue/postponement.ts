import { DelayedError, type Job } from 'bullmq';
import type { RedisClient } from '../redis/index.js';
import { SINCE_FIELD } from './waiting-since.js';

/** Longest time a job is put off, by one error and by all of them, in milliseconds. */
const LONGEST_MS = 86_400_000;

/** Return times are spread over this part of the wait. */
const SPREAD = 0.1;

/** @internal Field of a job's hash: when it was put off for the first time. */
export const FIRST_FIELD = 'rednest:put-off';

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
 * count. A job that was put off for the first time a day ago is not put off any more.
 *
 * @param fields what else changes in the hash of the job
 * @returns the error that tells the worker so; `undefined` when the attempt counts like any other
 */
export async function postpone(
  client: RedisClient,
  key: string,
  job: Job,
  token: string | undefined,
  waitMs: number,
  fields: Readonly<Record<string, number>> = {},
): Promise<DelayedError | undefined> {
  const first = Number((await client.hget(key, FIRST_FIELD)) ?? 0) || Date.now();
  if (Date.now() - first > LONGEST_MS) return undefined;
  // Jobs that meet the same limit do not come back at one moment to meet it again.
  const dueMs = Date.now() + Math.min(LONGEST_MS, Math.ceil(waitMs * (1 + Math.random() * SPREAD)));
  await client.hset(key, { ...fields, [FIRST_FIELD]: first, [SINCE_FIELD]: dueMs });
  await job.moveToDelayed(dueMs, token);
  return new DelayedError();
}
