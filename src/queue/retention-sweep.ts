import type { Queue } from 'bullmq';
import type { QueueSettings } from './queue-settings.js';

/** @internal Name of the job, and of its schedule, that sweeps a queue. */
export const SWEEP_JOB = 'rednest.sweep';

/** Jobs removed by one sweep at most, per state: a long script would make the others wait. */
const BATCH = 1000;

/**
 * Has a queue swept every so often, once per fleet however many processes ask for it. BullMQ removes
 * old jobs when another one ends, so that a queue on which nothing happens would keep them for ever.
 */
export async function scheduleSweep(queue: Queue, everyMs: number): Promise<void> {
  const known = await queue.getJobScheduler(SWEEP_JOB);
  // A start is busy enough: the first sweep is one interval away, and a restart does not put it off.
  if (known?.every === everyMs) return;
  await queue.upsertJobScheduler(
    SWEEP_JOB,
    { every: everyMs, startDate: Date.now() + everyMs },
    { name: SWEEP_JOB, opts: { attempts: 1, removeOnComplete: true, removeOnFail: true } },
  );
}

/**
 * Removes the jobs that ended longer ago than the queue keeps them.
 *
 * @returns how many were removed
 */
export async function sweep(queue: Queue, settings: QueueSettings): Promise<number> {
  const { keepCompletedMs, keepFailedMs } = settings;
  const completed = await queue.clean(keepCompletedMs, BATCH, 'completed');
  const failed = await queue.clean(keepFailedMs, BATCH, 'failed');
  return completed.length + failed.length;
}
