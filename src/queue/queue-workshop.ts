import { Queue, type Job } from 'bullmq';
import {
  ConfigurationError,
  DIAGNOSTICS,
  DiagnosticsPublisher,
  redactText,
  resolveDuration,
  type QueueDiagnostic,
} from '../common/index.js';
import type { ConnectionRegistry } from '../redis/index.js';
import { releaseKey, toDeadLetter } from './dead-job.js';
import { envelope } from './job-envelope.js';
import type { JobSchedule, Processor } from './processor.js';
import { settingsOf, type QueueSettings } from './queue-settings.js';
import type { QueueName } from './queue-name.js';
import { QueueWorker } from './queue-worker.js';
import { bullPrefix } from './queue.keyspace.js';
import type { ResolvedQueueOptions } from './queue.options.js';
import { scheduleSweep, sweep } from './retention-sweep.js';
import { WorkerPresence, workersKey } from './worker-presence.js';

/** Constructor arguments of {@link QueueWorkshop}. */
export interface QueueWorkshopInit {
  registry: ConnectionRegistry;
  options: ResolvedQueueOptions;
  /** Told about faults, with the queue they are about. */
  report: (line: string) => void;
}

/** The workers of a process, with what they need beside their jobs: schedules, sweeps, presence, dead jobs. */
export class QueueWorkshop {
  private readonly workers = new Map<QueueName, QueueWorker>();
  private readonly queues: Queue[] = [];
  private readonly presence: WorkerPresence;
  private readonly diagnostics = new DiagnosticsPublisher<QueueDiagnostic>(DIAGNOSTICS.queue);

  constructor(private readonly init: QueueWorkshopInit) {
    const { registry, options } = init;
    this.presence = new WorkerPresence(registry.executor(options.connection, 'worker'));
  }

  /** Queues with a worker. */
  get names(): readonly QueueName[] {
    return [...this.workers.keys()];
  }

  /**
   * Starts the workers of a processor.
   *
   * @throws {ConfigurationError} when a queue has a worker already
   */
  open(processor: Processor): void {
    for (const queue of processor.queues) this.openQueue(settingsOf(queue, this.init.options), processor);
  }

  /**
   * Stops fetching, waits for running jobs, and takes the announcements back. When `signal` is aborted, so
   * are the signals of the jobs.
   */
  async drain(signal: AbortSignal): Promise<void> {
    const workers = [...this.workers.values()];
    const cancel = (): void => workers.forEach((worker) => worker.cancel());
    if (signal.aborted) cancel();
    else signal.addEventListener('abort', cancel, { once: true });
    await Promise.all(workers.map((worker) => worker.drain()));
    signal.removeEventListener('abort', cancel);
    await this.presence.withdraw();
    // They hold no connection of their own; there is nothing to wait for.
    for (const queue of this.queues) void queue.close().catch(() => undefined);
  }

  private openQueue(settings: QueueSettings, processor: Processor): void {
    const { name } = settings;
    if (this.workers.has(name)) {
      throw new ConfigurationError(`Queue "${name}" has two processors; merge them into one class`);
    }
    const { registry, options } = this.init;
    const connection = registry.connection(options.connection, 'worker');
    const prefix = bullPrefix(registry.configuration.keyPrefix, name);
    const queue = new Queue(name, { connection: connection.client, prefix, skipVersionCheck: true });
    queue.on('error', () => undefined);
    this.queues.push(queue);
    const worker = new QueueWorker({
      settings,
      prefix,
      connection,
      ...processor.options,
      telemetry: options.telemetry,
      dispatcher: processor.dispatcher,
      sweep: () => sweep(queue, settings),
      onDead: (job, reason) => this.bury(name, job, reason, processor),
      onError: (failed, error) => this.report(failed, error),
    });
    this.workers.set(name, worker);
    worker.start();
    this.presence.announce(workersKey(prefix, name));
    void this.schedule(queue, name, processor.schedules);
  }

  /** Waits for Redis like everything else of a worker; a fault is logged and leaves the workers alone. */
  private async schedule(queue: Queue, name: QueueName, schedules: readonly JobSchedule[]): Promise<void> {
    const { sweepIntervalMs } = this.init.options;
    try {
      if (sweepIntervalMs !== null) await scheduleSweep(queue, sweepIntervalMs);
      for (const { jobName, options } of schedules) {
        const { id = jobName, data, tenantId = null } = options;
        const repeat =
          'every' in options
            ? { every: resolveDuration(options.every, 'schedule.every') }
            : { pattern: options.cron, tz: options.tz ?? 'UTC' };
        await queue.upsertJobScheduler(id, repeat, { name: jobName, data: envelope(data, tenantId) });
      }
    } catch (error) {
      if (!this.init.registry.connection(this.init.options.connection, 'worker').isReady) return;
      this.report(name, error as Error);
    }
  }

  private async bury(queue: QueueName, job: Job, reason: string, processor: Processor): Promise<void> {
    const { registry, options } = this.init;
    try {
      if (await releaseKey(job, registry.executor(options.connection, 'worker'))) {
        this.diagnostics.publish(() => ({
          event: 'released',
          queue,
          jobName: job.name,
          jobId: job.id ?? '',
        }));
      }
      if (processor.mourns) await processor.mourn(toDeadLetter(queue, job, reason));
    } catch (error) {
      this.report(queue, error as Error);
    }
  }

  private report(queue: string, error: Error): void {
    this.init.report(`Worker of "${queue}": ${redactText(error.message)}`);
  }
}
