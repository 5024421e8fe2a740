import type { QueueContract } from './queue-contract.js';
import type { JobName, JobResult } from './queue-contract.js';
import { openEnvelope } from './job-envelope.js';
import type { QueueService } from './queue.service.js';

/** A job that completed, for assertions. */
export interface CompletedJob<Result = unknown> {
  /** Id of the job, unique across queues. */
  readonly jobId: string;
  /** Tenant it belongs to; `null` for none. */
  readonly tenantId: string | null;
  /** The payload as it was added. */
  readonly data: unknown;
  /** What its handler returned. */
  readonly result: Result;
}

/**
 * For tests: waits until no job of a queue waits, runs, or is about to; delayed jobs are left alone. Needs
 * a worker, in this process or another.
 *
 * @param deadlineMs longest wait, in milliseconds @default 5000
 * @throws {Error} with the numbers of jobs left when the time is over
 * @example
 * await drain(app.get(QueueService), Mail);
 */
export async function drain(
  queues: QueueService,
  queue: QueueContract,
  deadlineMs: number = 5000,
): Promise<void> {
  const { raw } = queues.producer(queue);
  const endMs = performance.now() + deadlineMs;
  for (;;) {
    const counts = await raw.getJobCounts('wait', 'prioritized', 'active', 'waiting-children');
    if (Object.values(counts).every((count) => count === 0)) return;
    if (performance.now() > endMs) {
      throw new Error(`Queue "${queue.name}" has not drained in ${deadlineMs} ms: ${JSON.stringify(counts)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/**
 * For tests: the jobs of a name that completed and are still kept, the youngest first, at most 1000.
 *
 * @example
 * expect(await completed(app.get(QueueService), Mail, 'welcome')).toMatchObject([{ data: { to: 'ada@example.com' } }]);
 */
export async function completed<C extends QueueContract, N extends JobName<C>>(
  queues: QueueService,
  queue: C,
  jobName: N,
): Promise<CompletedJob<JobResult<C, N>>[]> {
  const jobs = await queues.producer(queue).raw.getJobs(['completed'], 0, 999);
  return jobs
    .filter((job) => job?.name === jobName)
    .map((job) => {
      const { tenantId, data } = openEnvelope(job.data);
      return { jobId: job.id ?? '', tenantId, data, result: job.returnvalue as JobResult<C, N> };
    });
}
