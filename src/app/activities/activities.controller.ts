import {
  Body,
  ConflictException,
  Controller,
  Get,
  HttpCode,
  HttpStatus,
  NotFoundException,
  Param,
  Post,
  Query,
} from '@nestjs/common';
import { SchemaPipe } from '../validation.js';
import { ActivityId, ActivityTenant, RunRequest, type Activity, type ActivityRun } from './activity.js';
import { ActivitiesService } from './activities.service.js';

@Controller('activities/:id')
export class ActivitiesController {
  constructor(private readonly activities: ActivitiesService) {}

  @Post('run')
  @HttpCode(HttpStatus.ACCEPTED)
  async run(
    @Param('id', new SchemaPipe(ActivityId)) id: string,
    @Body(new SchemaPipe(RunRequest)) request: RunRequest,
  ): Promise<ActivityRun> {
    const run = await this.activities.run(id, request);
    if (!run) throw new ConflictException('Somebody works on this activity');
    return run;
  }

  @Get()
  async find(
    @Param('id', new SchemaPipe(ActivityId)) activityId: string,
    @Query('tenantId', new SchemaPipe(ActivityTenant)) tenantId: string,
  ): Promise<Activity> {
    const activity = await this.activities.find({ tenantId, activityId });
    if (!activity) throw new NotFoundException('This activity has never run');
    return activity;
  }
}
