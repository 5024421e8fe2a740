import { Worker, type Job } from 'bullmq';
import { DIAGNOSTICS, DiagnosticsPublisher, type QueueDiagnostic } from '../common/index.js';
import type { ManagedConnection } from '../redis/index.js';
import type { JobDispatcher } from './job-dispatcher.js';

/** Constructor arguments of {@link QueueWorker}. */
export interface QueueWorkerInit {
  queue: string;
  prefix: string;
  connection: ManagedConnection;
  concurrency: number;
  lockDurationMs: number;
  stalledIntervalMs: number;
  keepCompletedMs: number;
  keepFailedMs: number;
  dispatcher: JobDispatcher;
  /** Told about faults that are not a lost connection; those are logged by the connection. */
  onError: (queue: string, error: Error) => void;
}

/** One BullMQ worker: runs jobs through a dispatcher, and ends without cutting the ones that run. */
export class QueueWorker {
  private readonly worker: Worker;
  private readonly abort = new AbortController();
  private readonly running = new Set<Promise<unknown>>();
  private readonly diagnostics = new DiagnosticsPublisher<QueueDiagnostic>(DIAGNOSTICS.queue);

  constructor(private readonly init: QueueWorkerInit) {
    const { queue, prefix, connection, concurrency, keepCompletedMs, keepFailedMs } = init;
    this.worker = new Worker(queue, (job) => this.process(job), {
      connection: connection.client,
      prefix,
      concurrency,
      autorun: false,
      // The check asks for INFO, which an ACL may refuse, and prints its advice on the console.
      skipVersionCheck: true,
      lockDuration: init.lockDurationMs,
      stalledInterval: init.stalledIntervalMs,
      removeOnComplete: { age: Math.ceil(keepCompletedMs / 1000) },
      removeOnFail: { age: Math.ceil(keepFailedMs / 1000) },
    });
    this.worker.on('error', (error) => this.onError(error));
    this.worker.on('completed', (job) => this.publish('completed', job));
    this.worker.on('failed', (job) => this.publish('failed', job));
  }

  /** The BullMQ worker, for what this class does not cover. */
  get raw(): Worker {
    return this.worker;
  }

  /** Starts fetching jobs. */
  start(): void {
    this.worker.run().catch((error: Error) => this.onError(error));
  }

  /**
   * Stops fetching and resolves when the running jobs have ended. Without a connection the results
   * of those jobs cannot be stored; they are then left to the recovery of stalled jobs.
   */
  async drain(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.abort.abort(), { once: true });
    if (!this.init.connection.isReady) {
      await Promise.allSettled(this.running);
      await this.worker.close(true);
      return;
    }
    await this.worker.close();
  }

  private process(job: Job): Promise<unknown> {
    this.publish('started', job);
    const run = this.init.dispatcher.dispatch(job, this.abort.signal);
    this.running.add(run);
    const forget = () => void this.running.delete(run);
    run.then(forget, forget);
    return run;
  }

  private onError(error: Error): void {
    if (!isConnectionError(error)) this.init.onError(this.init.queue, error);
  }

  private publish(event: QueueDiagnostic['event'], job: Job | undefined): void {
    const { queue } = this.init;
    this.diagnostics.publish(() => ({
      event,
      queue,
      ...(job?.name === undefined ? {} : { jobName: job.name }),
      ...(job?.id === undefined ? {} : { jobId: job.id }),
    }));
  }
}

function isConnectionError(error: Error & { code?: unknown }): boolean {
  return (
    (typeof error.code === 'string' && /^E[A-Z]+$/.test(error.code)) ||
    /^(Connection is closed|Socket timeout|Command timed out|read E|write E|connect E)/.test(error.message)
  );
}
