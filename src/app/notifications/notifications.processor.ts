import { Logger } from '@nestjs/common';
import { OnDeadLetter, OnJob, QueueProcessor, type DeadLetter, type JobContext } from 'rednest/queue';
import { InjectOutbound, type OutboundLimiter } from 'rednest/rate-limit';
import { MESSAGE_LIMIT, MessageProvider } from './message-provider.js';
import { ALL_NOTIFICATION_QUEUES, type Delivery, type NotificationJob } from './notification.js';

/**
 * Delivers notifications through their providers. Where a provider takes no more from a tenant, the error of the
 * limiter says when it will, and the job comes back then.
 */
@QueueProcessor(ALL_NOTIFICATION_QUEUES, { concurrency: 10 })
export class NotificationsProcessor {
  private readonly logger = new Logger('Notifications');

  constructor(
    private readonly provider: MessageProvider,
    @InjectOutbound(MESSAGE_LIMIT.name) private readonly limiter: OutboundLimiter,
  ) {}

  @OnJob('deliver')
  async deliver(job: NotificationJob, { tenantId }: JobContext): Promise<Delivery> {
    const { type, channel } = job;
    const { deliveredAt } = await this.limiter.run(['tenant', tenantId!, 'channel', channel], () =>
      this.provider.send(job),
    );
    this.logger.debug(`delivered ${type} by ${channel} for ${tenantId}`);
    return { channel, deliveredAt };
  }

  @OnDeadLetter()
  gaveUp({ queue, jobId, failedReason }: DeadLetter): void {
    this.logger.warn(`${queue} gave up ${jobId}: ${failedReason}`);
  }
}
