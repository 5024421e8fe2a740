import { Module, type DynamicModule } from '@nestjs/common';
import { CacheModule } from 'rednest/cache';
import type { QueueRole } from 'rednest/queue';
import { AgentsModule } from '../agents/agents.module.js';
import { ActivitiesController } from './activities.controller.js';
import { ActivitiesProcessor } from './activities.processor.js';
import { ActivitiesService } from './activities.service.js';
import { ActivityExecutor } from './activity-executor.js';
import { ActivityLock, NoActivityLock } from './activity.lock.js';
import { ActivityStore, RedisActivityStore } from './activity.store.js';
import { ModelAgent, SimulatedAgent } from './model-agent.js';
import { RESUME_CACHE, ResumeIds } from './resume-ids.js';

/** Activities that agents work on, and the ports behind them; a pure worker has no routes. */
@Module({})
export class ActivitiesModule {
  static forRole(role: QueueRole): DynamicModule {
    return {
      module: ActivitiesModule,
      imports: [AgentsModule, CacheModule.forFeature(RESUME_CACHE, { ttl: '7d', jitter: 0 })],
      controllers: role === 'worker' ? [] : [ActivitiesController],
      providers: [
        ActivitiesService,
        ActivitiesProcessor,
        ActivityExecutor,
        ResumeIds,
        { provide: ActivityStore, useClass: RedisActivityStore },
        { provide: ActivityLock, useClass: NoActivityLock },
        { provide: ModelAgent, useClass: SimulatedAgent },
      ],
    };
  }
}
