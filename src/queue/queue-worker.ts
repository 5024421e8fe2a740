import { Worker, type Job } from 'bullmq';
import type { Telemetry } from 'bullmq';
import type { QueueDiagnostic } from '../common/index.js';
import type { ManagedConnection, RedisExecutor } from '../redis/index.js';
import { NO_TURN } from './fair-tags.js';
import { FairTurns } from './fair-turns.js';
import type { JobDispatcher } from './job-dispatcher.js';
import { postpone, retryAfterOf } from './postponement.js';
import { jobDetails, type QueueRecorder } from './queue-recorder.js';
import type { QueueSettings } from './queue-settings.js';
import { SWEEP_JOB } from './retention-sweep.js';
import { RunningJobs, type JobRun } from './running-jobs.js';
import { isThenable } from './thenable.js';

/** Constructor arguments of {@link QueueWorker}. */
export interface QueueWorkerInit {
  settings: QueueSettings;
  prefix: string;
  connection: ManagedConnection;
  executor: RedisExecutor;
  concurrency: number;
  lockDurationMs: number;
  stalledIntervalMs: number;
  maxStalled: number;
  telemetry: Telemetry | undefined;
  dispatcher: JobDispatcher;
  recorder: QueueRecorder;
  /** Removes ended jobs that were kept long enough. */
  sweep: () => Promise<number>;
  /** Told about jobs that failed for good; never rejects. */
  onDead: (job: Job, reason: string) => Promise<void>;
  /** Told about faults that are not a lost connection; those are logged by the connection. */
  onError: (queue: string, error: Error) => void;
}

/**
 * Longest wait for a job at a time, in seconds. A dead socket is found when a wait should be over, and BullMQ
 * would wait for 10 s where a delayed job is known.
 */
const LONGEST_WAIT_S = 5;

/** How long a worker without running jobs may take to close, in milliseconds. */
const CLOSE_MS = 3_000;

/** One BullMQ worker: runs jobs through a dispatcher, and ends without cutting the ones that run. */
export class QueueWorker {
  private readonly worker: Worker;
  private readonly running = new RunningJobs();
  private readonly turns: FairTurns | undefined;
  private readonly burials = new Set<Promise<void>>();
  private hadJobs = false;

  constructor(private readonly init: QueueWorkerInit) {
    const { settings, connection, telemetry } = init;
    this.worker = new Worker(settings.name, (job, token) => this.process(job, token) as Promise<unknown>, {
      connection: connection.client,
      prefix: init.prefix,
      concurrency: init.concurrency,
      autorun: false,
      drainDelay: LONGEST_WAIT_S,
      // The check asks for INFO, which an ACL may refuse, and prints its advice on the console.
      skipVersionCheck: true,
      lockDuration: init.lockDurationMs,
      stalledInterval: init.stalledIntervalMs,
      maxStalledCount: init.maxStalled,
      // A connection that is away is waited for; once it is back, work goes on within a second.
      runRetryDelay: 1000,
      removeOnComplete: { age: Math.ceil(settings.keepCompletedMs / 1000) },
      removeOnFail: { age: Math.ceil(settings.keepFailedMs / 1000) },
      ...(telemetry === undefined ? {} : { telemetry }),
    });
    Object.defineProperty(this.worker.getBackend(), 'maximumBlockTimeout', { value: LONGEST_WAIT_S });
    this.letChecksEnd();
    this.worker.on('error', (error) => this.onError(error));
    this.worker.on('completed', (job) => this.record('completed', job));
    this.worker.on('failed', (job, error) => this.onFailed(job, error));
    this.worker.on('stalled', (jobId) => this.record('stalled', { id: jobId }));
    this.worker.on('drained', () => this.onDrained());
    this.worker.on('lockRenewalFailed', (jobIds) => this.onLocksLost(jobIds));
    const fair = settings.contract?.fair;
    if (fair) {
      const toKey = (type: string): string => this.worker.toKey(type);
      const onError = (error: Error): void => this.onError(error);
      this.turns = new FairTurns({ executor: init.executor, fair, toKey, onError });
    }
  }

  /** The BullMQ worker, for what this class does not cover. */
  get raw(): Worker {
    return this.worker;
  }

  /** Starts fetching jobs. */
  start(): void {
    void this.waitInFractions();
    this.worker.run().catch((error: Error) => this.onError(error));
  }

  /** Aborts the signals of the running jobs. */
  cancel(): void {
    this.running.abort();
  }

  /**
   * Stops fetching and resolves when the running jobs have ended. Without a connection the results of
   * those jobs cannot be stored; they are then left to the recovery of stalled jobs, as are those that go on
   * after the connections have been closed.
   */
  async drain(): Promise<void> {
    let ended = false;
    const closing = this.close().then(() => void (ended = true));
    await Promise.race([closing, this.idleFor(CLOSE_MS, () => ended)]);
    if (!ended) this.abandon();
    await Promise.all(this.burials);
  }

  private async close(): Promise<void> {
    if (this.init.connection.isReady) {
      await this.worker.close();
    } else {
      // Once the connection is back, a worker that was not told otherwise would go on fetching.
      await this.worker.pause(true);
      this.dropFetch();
      await this.running.idle();
      await this.worker.close(!this.init.connection.isReady);
    }
  }

  /**
   * BullMQ waits for the end of a connection that is just being lost, which may not come. While no job
   * runs there is nothing that is worth a long wait; the connections are closed after this in any case.
   */
  private async idleFor(ms: number, isOver: () => boolean): Promise<void> {
    for (let idleMs = 0; idleMs < ms && !isOver();) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      idleMs = this.running.size === 0 ? idleMs + 50 : 0;
    }
  }

  /** A fetch that was under way would take one more job when it reconnects; a client that was told so does not. */
  private dropFetch(): void {
    this.worker.getBackend().blockingConnection?.client.then(
      (client) => client.disconnect(),
      () => undefined,
    );
  }

  /** Ends what a close that does not end leaves behind: its socket, and the timers of locks and stalls. */
  private abandon(): void {
    const backend = this.worker.getBackend();
    this.dropFetch();
    backend.close(true).catch(() => undefined);
    const parts = this.worker as unknown as {
      lockManager: { close(): Promise<void> };
      stalledCheckStopper?: () => void;
    };
    void parts.lockManager.close();
    parts.stalledCheckStopper?.();
  }

  /**
   * Runs a job. Everything up to the handler's answer happens at once, and only a handler that gives a promise
   * costs one here: with an `AsyncLocalStorage` in the process, promises are what is dear.
   */
  private process(job: Job, token: string | undefined): unknown {
    if (job.name === SWEEP_JOB) return this.init.sweep();
    this.turns?.look();
    this.hadJobs = true;
    this.record('started', job);
    const { dispatcher, settings } = this.init;
    const run = this.running.begin(job.id!);
    let answer: unknown;
    try {
      answer = dispatcher.dispatch(job, run, settings.contract);
    } catch (error) {
      return this.giveUp(run, job, token, error);
    }
    if (!isThenable(answer)) return this.conclude(run, job, token, answer);
    return Promise.resolve(answer).then(
      (value) => this.conclude(run, job, token, value),
      (error: unknown) => this.giveUp(run, job, token, error),
    );
  }

  private conclude(run: JobRun, job: Job, token: string | undefined, value: unknown): unknown {
    const { dispatcher, settings } = this.init;
    let result: unknown;
    try {
      result = dispatcher.checkResult(job, value, settings.contract);
    } catch (error) {
      return this.giveUp(run, job, token, error);
    }
    if (!isThenable(result)) return this.end(run, result);
    return Promise.resolve(result).then(
      (late) => this.end(run, late),
      (error: unknown) => this.giveUp(run, job, token, error),
    );
  }

  private end<T>(run: JobRun, result: T): T {
    this.running.end(run);
    return result;
  }

  /** A limit that was reached puts the job off; any other error fails the attempt. */
  private giveUp(run: JobRun, job: Job, token: string | undefined, error: unknown): Promise<never> {
    const waitMs = retryAfterOf(error);
    if (waitMs !== undefined) {
      return this.putOff(job, token, waitMs, error).finally(() => this.running.end(run));
    }
    this.running.end(run);
    throw error;
  }

  private async putOff(job: Job, token: string | undefined, waitMs: number, error: unknown): Promise<never> {
    const postponed = await postpone(
      this.init.connection.client,
      this.worker.toKey(job.id!),
      job,
      token,
      waitMs,
      this.turns && { priority: NO_TURN },
    );
    if (!postponed) throw error;
    this.record('postponed', job, waitMs);
    throw postponed;
  }

  /** Another worker may have the job by now; what this one still does would be done twice. */
  private onLocksLost(jobIds: readonly string[]): void {
    this.running.abort(jobIds);
  }

  /**
   * Without its version check BullMQ takes the server for one that waits in whole seconds, and delayed jobs
   * would come up to a second late. Servers older than 6.2 are refused at start.
   */
  private async waitInFractions(): Promise<void> {
    const backend = this.worker.getBackend();
    try {
      await backend.waitUntilReady();
    } catch {
      return;
    }
    const { blockingConnection } = backend;
    if (blockingConnection) blockingConnection.capabilities.canDoubleTimeout = true;
  }

  /**
   * After a look for stalled jobs that failed, BullMQ waits for 5 s more than between two looks, and no close ends
   * that wait: the process would live on for it.
   */
  private letChecksEnd(): void {
    const parts = this.worker as unknown as { moveStalledJobsToWait(): Promise<void> };
    const check = parts.moveStalledJobsToWait.bind(this.worker);
    parts.moveStalledJobsToWait = () => check().catch((error: Error) => this.onError(error));
  }

  /** BullMQ says `failed` for every attempt; the last one sets the time the job ended. */
  private onFailed(job: Job | undefined, error: Error): void {
    if (job?.name === SWEEP_JOB) return;
    this.record('failed', job);
    if (!job?.finishedOn) return;
    this.record('dead', job);
    const burial = this.init.onDead(job, error.message);
    this.burials.add(burial);
    void burial.then(() => this.burials.delete(burial));
  }

  private onError(error: Error): void {
    if (!isConnectionError(error)) this.init.onError(this.init.settings.name, error);
  }

  /** BullMQ says so at every start on an empty queue as well, and after a sweep. */
  private onDrained(): void {
    if (!this.hadJobs) return;
    this.hadJobs = false;
    this.record('drained', undefined);
  }

  /** Called several times per job, and mostly heard by nobody. */
  private record(event: QueueDiagnostic['event'], job: Partial<Job> | undefined, waitMs?: number): void {
    if (job?.name === SWEEP_JOB) return;
    const { recorder } = this.init;
    recorder.count(event);
    if (recorder.isHeard) recorder.publish(event, jobDetails(event, job, waitMs));
  }
}

function isConnectionError(error: Error & { code?: unknown }): boolean {
  return (
    (typeof error.code === 'string' && /^E[A-Z]+$/.test(error.code)) ||
    /^(Connection is closed|All sentinels are unreachable|Socket timeout|Command timed out|read E|write E|connect E)/.test(
      error.message,
    )
  );
}
