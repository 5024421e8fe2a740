import { Injectable } from '@nestjs/common';
import type { Job } from 'bullmq';
import { ConfigurationError } from '../common/index.js';
import { TOLD_FIELD } from './burials.js';
import { toDeadLetter } from './dead-job.js';
import type { QueueContract } from './queue-contract.js';
import type { QueueName } from './queue-name.js';
import type { QueueProducer } from './queue-producer.js';
import type { DeadLetter } from './queue.decorators.js';
import { FIRST_FIELD } from './postponement.js';
import { MARK_REPLAY } from './queue.scripts.js';
import { QueueService } from './queue.service.js';
import { removeDead } from './remove-dead.js';
import { SINCE_FIELD } from './waiting-since.js';

/** Which dead jobs are meant; all conditions must hold. */
export interface DeadLetterFilter {
  /** Jobs with one of these ids. */
  jobIds?: readonly string[];
  /** Jobs of this name. */
  jobName?: string;
  /** Jobs of this tenant. */
  tenantId?: string;
  /** Jobs for which this answers `true`. */
  where?: (letter: DeadLetter) => boolean;
}

/** Settings of {@link DeadLetters.replay}. */
export interface ReplayOptions extends DeadLetterFilter {
  /** Jobs put back per second, so that what failed before is not run over. Above 0. @default 50 */
  rate?: number;
  /** Jobs put back at most. Integer >= 1. @default 1000 */
  limit?: number;
  /** Ends the replay early. */
  signal?: AbortSignal;
}

/** Jobs read at once. */
const PAGE = 100;

/**
 * The jobs of a queue that failed for good, those that lost their worker too often included. They lie in
 * BullMQ's own set of failed jobs, for as long as the queue keeps those: this is a view, not a copy.
 */
@Injectable()
export class DeadLetters {
  constructor(private readonly queues: QueueService) {}

  /**
   * Shows dead jobs, the youngest first.
   *
   * @param limit @default 20
   * @throws {QueueUnavailableError} when Redis did not answer in time
   */
  async peek(
    queue: QueueName | QueueContract,
    filter: DeadLetterFilter & { limit?: number } = {},
  ): Promise<DeadLetter[]> {
    const producer = this.producer(queue);
    const letters: DeadLetter[] = [];
    for await (const job of this.matching(producer, filter, filter.limit ?? 20)) {
      letters.push(toDeadLetter(producer.name, job));
    }
    record(producer, 'peeked', letters.length);
    return letters;
  }

  /**
   * Puts dead jobs back into their queue under their own ids, with all attempts ahead of them.
   *
   * @returns how many were put back
   * @throws {QueueUnavailableError} when Redis did not answer in time; what was put back stays so
   */
  async replay(queue: QueueName | QueueContract, options: ReplayOptions = {}): Promise<number> {
    const { rate = 50, limit = 1000, signal } = options;
    if (!(rate > 0))
      throw new ConfigurationError('Option "rate" of a replay must be above 0, in jobs per second');
    const producer = this.producer(queue);
    let count = 0;
    for (const job of await this.collect(producer, options, limit)) {
      if (signal?.aborted) break;
      if (count > 0) await pause(1000 / rate, signal);
      if (await this.putBack(producer, job)) count += 1;
    }
    record(producer, 'replayed', count);
    return count;
  }

  /**
   * Removes dead jobs. Their deduplication keys in the queue go with them. A job that was put back meanwhile
   * stays.
   *
   * @returns how many were removed
   * @throws {QueueUnavailableError} when Redis did not answer in time; what was removed stays so
   */
  async discard(
    queue: QueueName | QueueContract,
    filter: DeadLetterFilter & { limit?: number } = {},
  ): Promise<number> {
    const producer = this.producer(queue);
    const jobs = await this.collect(producer, filter, filter.limit ?? 1000);
    let count = 0;
    for (const { id } of jobs) {
      const removed = await producer.call('queue.dead.discard', (client) =>
        removeDead(producer.raw, client, id!),
      );
      if (removed) count += 1;
    }
    record(producer, 'discarded', count);
    return count;
  }

  /** The set shifts while jobs leave it, so they are looked up before the first one does. */
  private async collect(producer: QueueProducer, filter: DeadLetterFilter, limit: number): Promise<Job[]> {
    const jobs: Job[] = [];
    for await (const job of this.matching(producer, filter, limit)) jobs.push(job);
    return jobs;
  }

  private async *matching(
    producer: QueueProducer,
    filter: DeadLetterFilter,
    limit: number,
  ): AsyncGenerator<Job> {
    let left = limit;
    for (let start = 0; left > 0; start += PAGE) {
      const from = start;
      const jobs = await producer.call('queue.dead.read', () =>
        producer.raw.getJobs(['failed'], from, from + PAGE - 1),
      );
      for (const job of jobs) {
        if (left === 0 || !job || !matches(toDeadLetter(producer.name, job), filter)) continue;
        left -= 1;
        yield job;
      }
      if (jobs.length < PAGE) return;
    }
  }

  /** Somebody else may have put it back or removed it meanwhile. */
  private async putBack(producer: QueueProducer, job: Job): Promise<boolean> {
    const { raw } = producer;
    const id = job.id!;
    const marked = await producer.script(
      'queue.dead.mark',
      MARK_REPLAY,
      [raw.toKey('failed'), raw.toKey(id)],
      [id, SINCE_FIELD, FIRST_FIELD, TOLD_FIELD],
    );
    if (marked === 0) return false;
    try {
      await producer.call('queue.dead.replay', () =>
        job.retry('failed', { resetAttemptsMade: true, resetAttemptsStarted: true }),
      );
      return true;
    } catch (error) {
      if ((await producer.call('queue.dead.state', () => job.getState())) !== 'failed') return false;
      throw error;
    }
  }

  private producer(queue: QueueName | QueueContract): QueueProducer {
    return this.queues.producer(typeof queue === 'string' ? queue : queue.name);
  }
}

function record(producer: QueueProducer, event: 'peeked' | 'replayed' | 'discarded', count: number): void {
  producer.recorder.record(event, () => ({ count }), count);
}

function matches(letter: DeadLetter, { jobIds, jobName, tenantId, where }: DeadLetterFilter): boolean {
  if (jobIds !== undefined && !jobIds.includes(letter.jobId)) return false;
  if (jobName !== undefined && jobName !== letter.jobName) return false;
  if (tenantId !== undefined && tenantId !== letter.tenantId) return false;
  return where === undefined || where(letter);
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    }
    signal?.addEventListener('abort', done, { once: true });
  });
}
