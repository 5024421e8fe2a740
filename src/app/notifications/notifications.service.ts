import { Injectable } from '@nestjs/common';
import { QueueService, type JobView, type OnceResult } from 'rednest/queue';
import { channelQueue, type NotificationJob, type NotificationRequest } from './notification.js';

/** Takes notifications and tells what became of them. */
@Injectable()
export class NotificationsService {
  constructor(private readonly queues: QueueService) {}

  /** One notification per tenant, type and key in 24 h, whatever the channel. */
  notify(tenantId: string, { dedupeKey, ...job }: NotificationRequest): Promise<OnceResult> {
    const payload: NotificationJob = job;
    return this.queues.notifyOnce(channelQueue(job.channel), 'deliver', payload, {
      tenantId,
      type: job.type,
      dedupeKey,
    });
  }

  /** `undefined` for an unknown id and for a job of another tenant alike. */
  find(tenantId: string, jobId: string): Promise<JobView | undefined> {
    return this.queues.find(jobId, tenantId);
  }
}
