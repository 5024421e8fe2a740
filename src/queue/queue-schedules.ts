import type { Queue } from 'bullmq';
import { resolveDuration } from '../common/index.js';
import { RedisCallError, type RedisExecutor } from '../redis/index.js';
import { NO_TURN } from './fair-tags.js';
import { envelope } from './job-envelope.js';
import type { JobSchedule } from './processor.js';
import type { QueueSettings } from './queue-settings.js';
import { scheduleSweep } from './retention-sweep.js';

/** Time between two tries to declare the schedules, in milliseconds. */
const RETRY_MS = 1000;

/** Constructor arguments of {@link QueueSchedules}. */
export interface QueueSchedulesInit {
  queue: Queue;
  settings: QueueSettings;
  executor: RedisExecutor;
  schedules: readonly JobSchedule[];
  /** `null`: ended jobs are not swept. */
  sweepIntervalMs: number | null;
  /** Told about faults that are not a server that is away. */
  report: (error: Error) => void;
}

/** Declares the schedules of a queue to the server, as often as it takes: Redis may be away when a worker starts. */
export class QueueSchedules {
  private readonly stopping = new AbortController();

  constructor(private readonly init: QueueSchedulesInit) {}

  /** Resolves with whether the server knows all of them, `false` when {@link stop} was called before. Never rejects. */
  async declare(): Promise<boolean> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      try {
        await this.init.executor.run('queue.schedule', () => this.declareAll(), {
          idempotent: true,
          signal,
        });
        return true;
      } catch (error) {
        if (signal.aborted) break;
        if (!(error instanceof RedisCallError) || error.outcome === 'refused')
          this.init.report(error as Error);
      }
      await pause(RETRY_MS, signal);
    }
    return false;
  }

  /** Ends the tries. */
  stop(): void {
    this.stopping.abort();
  }

  private async declareAll(): Promise<void> {
    const { queue, settings, schedules, sweepIntervalMs } = this.init;
    if (sweepIntervalMs !== null) await scheduleSweep(queue, sweepIntervalMs);
    const opts = settings.contract?.fair ? { priority: NO_TURN } : {};
    for (const { jobName, options } of schedules) {
      const { id = jobName, data, tenantId = null } = options;
      const repeat =
        'every' in options
          ? { every: resolveDuration(options.every, 'schedule.every') }
          : { pattern: options.cron, tz: options.tz ?? 'UTC' };
      await queue.upsertJobScheduler(id, repeat, { name: jobName, data: envelope(data, tenantId), opts });
    }
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done, { once: true });
  });
}
