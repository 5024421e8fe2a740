import { Injectable } from '@nestjs/common';
import { QueueService, type JobView, type OnceResult } from 'rednest/queue';
import { NOTIFICATION_QUEUES, type NotificationRequest } from './notification.js';

/** Takes notifications and tells what became of them. */
@Injectable()
export class NotificationsService {
  constructor(private readonly queues: QueueService) {}

  /** One notification per tenant, type and key in 24 h, whatever the channel; one that failed may come again. */
  notify(tenantId: string, { dedupeKey, ...job }: NotificationRequest): Promise<OnceResult> {
    return this.queues.notifyOnce(NOTIFICATION_QUEUES[job.channel], 'deliver', job, {
      tenantId,
      type: job.type,
      dedupeKey,
      onFinalFailure: 'release',
    });
  }

  /** `undefined` for an unknown id and for a job of another tenant alike. */
  find(tenantId: string, jobId: string): Promise<JobView | undefined> {
    return this.queues.find(jobId, tenantId);
  }
}
