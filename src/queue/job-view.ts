import type { Job, JobState } from 'bullmq';
import { openEnvelope } from './job-envelope.js';
import { queueOf } from './job-id.js';

/** State of a job in the words of BullMQ. */
export type JobViewState = JobState | 'unknown';

/** A job as its owner may see it: no payload, no stack. */
export interface JobView {
  /** Job id; carries the name of the queue. */
  readonly id: string;
  /** Name of the queue, without the key prefix. */
  readonly queue: string;
  /** Name of the job, which decides the handler. */
  readonly name: string;
  /** Tenant the job belongs to; `null` for jobs of the system itself. */
  readonly tenantId: string | null;
  /** State at the time of reading; `unknown` when the job is gone meanwhile. */
  readonly state: JobViewState;
  /** Attempts finished so far. */
  readonly attemptsMade: number;
  /** What the handler returned; `undefined` until completed. */
  readonly result?: unknown;
  /** Message of the last failure. */
  readonly failedReason?: string;
  /** Milliseconds since the Unix epoch. */
  readonly createdAtMs: number;
  /** Milliseconds since the Unix epoch; absent while the job has not ended. */
  readonly finishedAtMs?: number;
}

/** @internal */
export function toJobView(job: Job, state: JobViewState): JobView {
  const id = job.id ?? '';
  return {
    id,
    queue: queueOf(id) ?? job.queueName,
    name: job.name,
    tenantId: openEnvelope(job.data).tenantId,
    state,
    attemptsMade: job.attemptsMade,
    createdAtMs: job.timestamp,
    ...(state === 'completed' ? { result: job.returnvalue as unknown } : {}),
    ...(job.failedReason ? { failedReason: job.failedReason } : {}),
    ...(job.finishedOn === undefined ? {} : { finishedAtMs: job.finishedOn }),
  };
}
