import { Injectable } from '@nestjs/common';
import type { Job } from 'bullmq';
import { DIAGNOSTICS, DiagnosticsPublisher, type QueueDiagnostic } from '../common/index.js';
import { openEnvelope } from './job-envelope.js';
import type { QueueName } from './queue-name.js';

/** How often each event of {@link QueueDiagnostic} happened since the application started. */
export type QueueCounts = Readonly<Record<QueueDiagnostic['event'], number>>;

/** What a process did with one queue. */
export interface QueueStats {
  /** Name of the queue, without the key prefix. */
  readonly queue: QueueName;
  /** By event; they never go down. */
  readonly counts: QueueCounts;
}

/** What a message says beside the event itself. */
export type RecordedDetails = Omit<QueueDiagnostic, 'event' | 'queue' | 'total'>;

const NOTHING: QueueCounts = Object.freeze({
  added: 0,
  deduplicated: 0,
  'add-failed': 0,
  started: 0,
  completed: 0,
  failed: 0,
  dead: 0,
  postponed: 0,
  stalled: 0,
  released: 0,
  drained: 0,
  peeked: 0,
  replayed: 0,
  discarded: 0,
  swept: 0,
  'fairness-exhausted': 0,
});

/** Counts what happens in one queue, and publishes it to {@link DIAGNOSTICS.queue}. */
export class QueueRecorder {
  private readonly diagnostics = new DiagnosticsPublisher<QueueDiagnostic>(DIAGNOSTICS.queue);
  private readonly counts: { -readonly [Event in keyof QueueCounts]: number } = { ...NOTHING };

  constructor(private readonly queue: QueueName) {}

  /**
   * Counts, and publishes if anybody listens. What several times per job happens calls {@link count} and asks
   * {@link isHeard} itself, so that it makes nothing that nobody hears.
   */
  record(event: QueueDiagnostic['event'], details: () => RecordedDetails, times = 1): void {
    this.count(event, times);
    if (this.isHeard) this.publish(event, details());
  }

  /** Counts alone. */
  count(event: QueueDiagnostic['event'], times = 1): void {
    this.counts[event] += times;
  }

  /** Whether anybody listens. */
  get isHeard(): boolean {
    return this.diagnostics.isHeard;
  }

  /** Publishes what was counted. */
  publish(event: QueueDiagnostic['event'], details: RecordedDetails): void {
    this.diagnostics.publish(() => ({ event, queue: this.queue, total: this.counts[event], ...details }));
  }

  /** The numbers as they are now. */
  snapshot(): QueueStats {
    return { queue: this.queue, counts: { ...this.counts } };
  }
}

/** The recorders of an application: producers, workers and whoever else works on a queue share one. */
@Injectable()
export class QueueRecorders {
  private readonly recorders = new Map<QueueName, QueueRecorder>();

  /** The recorder of a queue, made when it is asked for first. */
  of(queue: QueueName): QueueRecorder {
    let recorder = this.recorders.get(queue);
    if (!recorder) {
      recorder = new QueueRecorder(queue);
      this.recorders.set(queue, recorder);
    }
    return recorder;
  }

  /** The numbers of all queues. */
  snapshot(): QueueStats[] {
    return [...this.recorders.values()].map((recorder) => recorder.snapshot());
  }
}

/** What is said about a job that a worker had. */
export function jobDetails(
  event: QueueDiagnostic['event'],
  job: Partial<Job> | undefined,
  waitMs: number | undefined,
): RecordedDetails {
  const tenantId = job?.data === undefined ? null : openEnvelope(job.data).tenantId;
  const elapsedMs = waitMs ?? elapsedOf(job);
  return {
    ...(job?.name === undefined ? {} : { jobName: job.name }),
    ...(job?.id === undefined ? {} : { jobId: job.id }),
    ...(tenantId === null ? {} : { tenantId }),
    ...(elapsedMs === undefined || event === 'started' ? {} : { elapsedMs }),
  };
}

function elapsedOf(job: Partial<Job> | undefined): number | undefined {
  if (job?.processedOn === undefined || !job.finishedOn) return undefined;
  return job.finishedOn - job.processedOn;
}
