import { Logger } from '@nestjs/common';
import { OnDeadLetter, OnJob, QueueProcessor, type DeadLetter, type JobContext } from 'rednest/queue';
import { MessageProvider } from './message-provider.js';
import { ALL_NOTIFICATION_QUEUES, type Delivery, type NotificationJob } from './notification.js';

/** Delivers notifications through their providers. */
@QueueProcessor(ALL_NOTIFICATION_QUEUES, { concurrency: 10 })
export class NotificationsProcessor {
  private readonly logger = new Logger('Notifications');

  constructor(private readonly provider: MessageProvider) {}

  @OnJob('deliver')
  async deliver(job: NotificationJob, { tenantId }: JobContext): Promise<Delivery> {
    await this.provider.send(tenantId, job.channel);
    this.logger.debug(`delivered ${job.type} by ${job.channel} for ${tenantId}`);
    return { channel: job.channel, deliveredAt: new Date().toISOString() };
  }

  @OnDeadLetter()
  gaveUp({ queue, jobId, failedReason }: DeadLetter): void {
    this.logger.warn(`${queue} gave up ${jobId}: ${failedReason}`);
  }
}
