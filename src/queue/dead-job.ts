import type { Job } from 'bullmq';
import type { RedisExecutor } from '../redis/index.js';
import { openEnvelope } from './job-envelope.js';
import type { DeadLetter } from './queue.decorators.js';
import { DEDUPLICATION_CLAIM } from './queue-producer.js';
import type { QueueName } from './queue-name.js';
import { RELEASE_ONCE } from './queue.scripts.js';

/** A job that failed for good, as its owner may see it. */
export function toDeadLetter(queue: QueueName, job: Job, reason = job.failedReason): DeadLetter {
  const { tenantId, data } = openEnvelope(job.data);
  return {
    queue,
    jobId: job.id ?? '',
    jobName: job.name,
    tenantId,
    data,
    failedReason: reason,
    attemptsMade: job.attemptsMade,
  };
}

/**
 * Gives the deduplication key of a dead job back, if its adder asked for that.
 *
 * @returns whether there was one to give back
 */
export async function releaseKey(job: Job, executor: RedisExecutor): Promise<boolean> {
  const { claim } = openEnvelope(job.data);
  if (claim === undefined || job.id === undefined) return false;
  if (claim === DEDUPLICATION_CLAIM) return job.removeDeduplicationKey();
  const released = await executor.script('queue.once.release', RELEASE_ONCE, [claim], [job.id], {
    idempotent: true,
  });
  return released === 1;
}
