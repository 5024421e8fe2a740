import { Module, type DynamicModule } from '@nestjs/common';
import { QueueModule, type QueueRole } from 'rednest/queue';
import { OutboundLimitModule } from 'rednest/rate-limit';
import { MESSAGE_LIMIT, MessageProvider } from './message-provider.js';
import { ALL_NOTIFICATION_QUEUES } from './notification.js';
import { NotificationsController } from './notifications.controller.js';
import { NotificationsProcessor } from './notifications.processor.js';
import { NotificationsService } from './notifications.service.js';

/** Takes notifications over HTTP and delivers them; a pure worker has no routes. */
@Module({})
export class NotificationsModule {
  static forRole(role: QueueRole): DynamicModule {
    return {
      module: NotificationsModule,
      imports: [
        QueueModule.forFeature(ALL_NOTIFICATION_QUEUES),
        OutboundLimitModule.forFeature([MESSAGE_LIMIT]),
      ],
      controllers: role === 'worker' ? [] : [NotificationsController],
      providers: [NotificationsService, NotificationsProcessor, MessageProvider],
    };
  }
}
