import { Injectable } from '@nestjs/common';
import { HealthIndicatorService, type HealthIndicatorResult } from '@nestjs/terminus';
import { QueueHealthService } from 'rednest/queue';

/** Shows the queues that are not well, and how many there are. */
@Injectable()
export class QueuesHealthIndicator {
  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly queues: QueueHealthService,
  ) {}

  /** A queue that does not move makes the service `degraded`, not `down`: its routes work. */
  async isHealthy(key: string = 'queues'): Promise<HealthIndicatorResult> {
    const { status, queues } = await this.queues.check();
    const unwell = queues.filter((queue) => queue.status !== 'up');
    const sum = (field: 'waiting' | 'active' | 'failedLast5Min'): number =>
      queues.reduce((total, queue) => total + queue[field], 0);
    const data = {
      queues: queues.length,
      waiting: sum('waiting'),
      active: sum('active'),
      failedLast5Min: sum('failedLast5Min'),
      ...(unwell.length === 0 ? {} : { unwell }),
    };
    const session = this.indicators.check(key);
    return status === 'up' ? session.up(data) : session.degraded(data);
  }
}
