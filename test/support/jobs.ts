import { Injectable } from '@nestjs/common';
import { InjectQueueProducer, OnJob, QueueProcessor, type QueueProducer } from 'rednest/queue';

/** A queue without a contract. */
export const JOBS = 'tests__jobs';

/** Keeps what its jobs carried, in order. */
@QueueProcessor(JOBS)
export class JobCollector {
  readonly done: unknown[] = [];
  @OnJob() run(data: unknown): void {
    this.done.push(data);
  }
}

/** Adds jobs. */
@Injectable()
export class JobSender {
  constructor(@InjectQueueProducer(JOBS) readonly queue: QueueProducer) {}
}
