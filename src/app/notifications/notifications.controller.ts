import { Body, Controller, Get, HttpCode, HttpStatus, NotFoundException, Param, Post } from '@nestjs/common';
import type { JobView, OnceResult } from 'rednest/queue';
import { SchemaPipe } from '../validation.js';
import { NotificationRequest, TenantId } from './notification.js';
import { NotificationsService } from './notifications.service.js';

@Controller('tenants/:tenantId/notifications')
export class NotificationsController {
  constructor(private readonly notifications: NotificationsService) {}

  @Post()
  @HttpCode(HttpStatus.ACCEPTED)
  notify(
    @Param('tenantId', new SchemaPipe(TenantId)) tenantId: string,
    @Body(new SchemaPipe(NotificationRequest)) request: NotificationRequest,
  ): Promise<OnceResult> {
    return this.notifications.notify(tenantId, request);
  }

  @Get(':jobId')
  async find(
    @Param('tenantId', new SchemaPipe(TenantId)) tenantId: string,
    @Param('jobId') jobId: string,
  ): Promise<Omit<JobView, 'tenantId'>> {
    const job = await this.notifications.find(tenantId, jobId);
    if (!job) throw new NotFoundException('There is no such notification');
    const { tenantId: _own, ...view } = job;
    return view;
  }
}
