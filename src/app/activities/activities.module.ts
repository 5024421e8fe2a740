import { Module } from '@nestjs/common';
import { CacheModule } from 'rednest/cache';
import { ActivitiesController } from './activities.controller.js';
import { ActivitiesService } from './activities.service.js';
import { ActivityExecutor } from './activity-executor.js';
import { ActivityLock, NoActivityLock } from './activity.lock.js';
import { ActivityRunner, InProcessActivityRunner } from './activity-runner.js';
import { ActivityStore, InMemoryActivityStore } from './activity.store.js';
import { ModelAgent, SimulatedAgent } from './model-agent.js';
import { RESUME_CACHE, ResumeIds } from './resume-ids.js';

/** Activities that a model works on, and the ports behind them. */
@Module({
  imports: [CacheModule.forFeature(RESUME_CACHE, { ttl: '7d', jitter: 0 })],
  controllers: [ActivitiesController],
  providers: [
    ActivitiesService,
    ActivityExecutor,
    ResumeIds,
    { provide: ActivityStore, useClass: InMemoryActivityStore },
    { provide: ActivityLock, useClass: NoActivityLock },
    { provide: ActivityRunner, useClass: InProcessActivityRunner },
    { provide: ModelAgent, useClass: SimulatedAgent },
  ],
})
export class ActivitiesModule {}
