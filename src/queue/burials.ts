import type { Job, Queue } from 'bullmq';
import type { RedisExecutor } from '../redis/index.js';
import { releaseKey, toDeadLetter } from './dead-job.js';
import type { Processor } from './processor.js';
import type { QueueName } from './queue-name.js';
import type { QueueRecorder } from './queue-recorder.js';
import { CLAIM_BURIAL } from './queue.scripts.js';

/** @internal Field of a job's hash: who tells that it is dead, or that it was told. */
export const TOLD_FIELD = 'rednest:told';

/** Time for telling a death, in milliseconds; then somebody else does it. */
const CLAIM_MS = 60_000;

/** Dead jobs that a look back goes through, the youngest first. */
const LOOK_BACK = 1000;

/** Dead jobs that are asked for at once. */
const PAGE = 100;

/** Constructor arguments of {@link Burials}. */
export interface BurialsInit {
  name: QueueName;
  queue: Queue;
  processor: Processor;
  executor: RedisExecutor;
  recorder: QueueRecorder;
  report: (error: Error) => void;
}

/**
 * What is done when a job of a queue failed for good: its deduplication key is given back, and `@OnDeadLetter`
 * methods are told. The set of failed jobs is the record: each job in it says whether that was done, so that what
 * a crash left out is made up.
 */
export class Burials {
  constructor(private readonly init: BurialsInit) {}

  /** Does it for a job that this process gave up. Never rejects; what fails is made up by {@link lookBack}. */
  async bury(job: Job, reason: string): Promise<void> {
    try {
      const claim = await this.claim(job.id!, CLAIM_MS);
      // A job that was told to leave nothing behind is not in the set, and is told all the same.
      if (claim !== 0) await this.tell(job, reason);
    } catch (error) {
      this.init.report(error as Error);
    }
  }

  /**
   * Does it for dead jobs for which nobody did: the process that gave them up ended just then, or their handler
   * threw.
   */
  async lookBack(): Promise<void> {
    const { queue, executor } = this.init;
    const jobIds = await executor.run(
      'queue.dead.list',
      (client) => client.zrevrange(queue.toKey('failed'), 0, LOOK_BACK - 1),
      { idempotent: true },
    );
    for (let start = 0; start < jobIds.length; start += PAGE) {
      for (const jobId of await this.untold(jobIds.slice(start, start + PAGE))) await this.makeUp(jobId);
    }
  }

  private async untold(jobIds: readonly string[]): Promise<string[]> {
    const { queue, executor } = this.init;
    const read = (jobId: string) =>
      executor.run('queue.dead.told', (client) => client.hget(queue.toKey(jobId), TOLD_FIELD), {
        idempotent: true,
      });
    const marks = await Promise.all(jobIds.map(read));
    return jobIds.filter((_jobId, index) => marks[index] !== 'told');
  }

  private async makeUp(jobId: string): Promise<void> {
    const { queue, executor } = this.init;
    if ((await this.claim(jobId, CLAIM_MS)) !== 1) return;
    const job = await executor.run('queue.dead.read', () => queue.getJob(jobId), { idempotent: true });
    if (!job) return;
    try {
      await this.tell(job, job.failedReason);
    } catch (error) {
      // One that cannot be told must not keep the others from it.
      this.init.report(error as Error);
    }
  }

  private async tell(job: Job, reason: string): Promise<void> {
    const { name, processor, executor, recorder } = this.init;
    if (await releaseKey(job, executor)) {
      recorder.record('released', () => ({ jobName: job.name, jobId: job.id ?? '' }));
    }
    if (processor.mourns) await processor.mourn(toDeadLetter(name, job, reason));
    await this.claim(job.id!, 0);
  }

  private claim(jobId: string, ttlMs: number): Promise<number> {
    const { queue, executor } = this.init;
    const keys = [queue.toKey('failed'), queue.toKey(jobId)] as const;
    return executor.script('queue.dead.claim', CLAIM_BURIAL, keys, [jobId, TOLD_FIELD, ttlMs] as const);
  }
}
