import { Logger } from '@nestjs/common';
import { OnJob, QueueProcessor, type JobContext } from 'rednest/queue';
import { NOTIFICATION_QUEUES, type Channel, type NotificationJob } from './notification.js';

/** Time a provider takes to accept a message, in milliseconds. */
const DELIVERY_MS = 20;

/** What became of a notification. */
export interface Delivery {
  channel: Channel;
  deliveredAt: string;
}

/** Delivers notifications; a stand-in for the providers of a real service. */
@QueueProcessor(NOTIFICATION_QUEUES, { concurrency: 10 })
export class NotificationsProcessor {
  private readonly logger = new Logger('Notifications');

  @OnJob('deliver')
  async deliver(job: NotificationJob, { tenantId }: JobContext): Promise<Delivery> {
    await new Promise((resolve) => setTimeout(resolve, DELIVERY_MS));
    this.logger.debug(`delivered ${job.type} by ${job.channel} for ${tenantId}`);
    return { channel: job.channel, deliveredAt: new Date().toISOString() };
  }
}
