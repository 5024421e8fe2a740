import { Queue } from 'bullmq';
import { ConfigurationError, redactText } from '../common/index.js';
import { RedisCallError, type ConnectionRegistry } from '../redis/index.js';
import { Burials } from './burials.js';
import type { Processor } from './processor.js';
import type { QueueRecorders } from './queue-recorder.js';
import { QueueSchedules } from './queue-schedules.js';
import { settingsOf, type QueueSettings } from './queue-settings.js';
import type { QueueName } from './queue-name.js';
import { QueueWorker } from './queue-worker.js';
import { bullPrefix } from './queue.keyspace.js';
import type { ResolvedQueueOptions } from './queue.options.js';
import { sweep } from './retention-sweep.js';
import { WorkerPresence, workersKey } from './worker-presence.js';

/** Constructor arguments of {@link QueueWorkshop}. */
export interface QueueWorkshopInit {
  registry: ConnectionRegistry;
  options: ResolvedQueueOptions;
  recorders: QueueRecorders;
  /** Told about faults, with the queue they are about. */
  report: (line: string) => void;
}

/** The workers of a process, with what they need beside their jobs: schedules, sweeps, presence, dead jobs. */
export class QueueWorkshop {
  private readonly workers = new Map<QueueName, QueueWorker>();
  private readonly queues: Queue[] = [];
  private readonly schedules: QueueSchedules[] = [];
  private readonly presence: WorkerPresence;

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
    for (const declared of this.schedules) declared.stop();
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
    const executor = registry.executor(options.connection, 'worker');
    const report = (error: Error): void => this.report(name, error);
    // With these three it works as soon as Redis is there, also when it was absent at the start.
    const queue = new Queue(name, {
      connection: connection.client,
      prefix,
      skipWaitingForReady: true,
      skipVersionCheck: true,
      skipMetasUpdate: true,
    });
    queue.on('error', () => undefined);
    this.queues.push(queue);
    const recorder = this.init.recorders.of(name);
    const burials = new Burials({ name, queue, processor, executor, recorder, report });
    const { schedules } = processor;
    const { sweepIntervalMs } = options;
    const declared = new QueueSchedules({ queue, settings, executor, schedules, sweepIntervalMs, report });
    this.schedules.push(declared);
    const worker = new QueueWorker({
      settings,
      prefix,
      connection,
      executor,
      ...processor.options,
      telemetry: options.telemetry,
      dispatcher: processor.dispatcher,
      recorder,
      sweep: async () => {
        await burials.lookBack();
        const count = await sweep(queue, settings);
        if (count > 0) recorder.record('swept', () => ({ count }), count);
        return count;
      },
      onDead: (job, reason) => burials.bury(job, reason),
      onError: (failed, error) => this.report(failed, error),
    });
    this.workers.set(name, worker);
    worker.start();
    this.presence.announce(workersKey(prefix, name));
    void this.prepare(declared, burials, report);
  }

  /** What a start has to make up, once Redis is there. A worker works meanwhile. */
  private async prepare(
    schedules: QueueSchedules,
    burials: Burials,
    report: (error: Error) => void,
  ): Promise<void> {
    if (!(await schedules.declare())) return;
    try {
      await burials.lookBack();
    } catch (error) {
      // A server that is away again: the next sweep looks back.
      if (!(error instanceof RedisCallError)) report(error as Error);
    }
  }

  private report(queue: string, error: Error): void {
    this.init.report(`Worker of "${queue}": ${redactText(error.message)}`);
  }
}
