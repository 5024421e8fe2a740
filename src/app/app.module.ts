import { Module, type DynamicModule } from '@nestjs/common';
import { APP_FILTER, APP_GUARD } from '@nestjs/core';
import { RedisModule, type EmbeddedEngine } from 'rednest';
import { CacheModule } from 'rednest/cache';
import { QueueModule } from 'rednest/queue';
import { RateLimitGuard, RateLimitModule } from 'rednest/rate-limit';
import { ActivitiesModule } from './activities/activities.module.js';
import { CampaignsModule } from './campaigns/campaigns.module.js';
import { HealthModule } from './health/health.module.js';
import { KeywordsModule } from './keywords/keywords.module.js';
import { NotificationsModule } from './notifications/notifications.module.js';
import { RagModule } from './rag/rag.module.js';
import { ProblemFilter } from './problem.filter.js';
import { routePolicies } from './route-policies.js';
import type { Settings } from './settings.js';

/** What the service is built from. */
export interface AppOptions {
  settings: Settings;
  /** Environment that says where Redis is. */
  env: Readonly<Record<string, string | undefined>>;
  /** Engine to start when the environment names no server. */
  embedded?: EmbeddedEngine;
}

/** The reference service. A pure worker serves health and nothing else. */
@Module({})
export class AppModule {
  static forRoot({ settings, env, embedded }: AppOptions): DynamicModule {
    const role = settings.queueRole;
    return {
      module: AppModule,
      imports: [
        RedisModule.forRoot({
          env,
          embedded,
          logFormat: settings.logFormat,
          ...(env['REDIS_APP_NAME'] ? {} : { app: 'campaigns' }),
        }),
        CacheModule.forRoot(),
        RateLimitModule.forRoot({ defaultPolicies: routePolicies(settings.rateLimit) }),
        QueueModule.forRoot({ role }),
        HealthModule,
        NotificationsModule.forRole(role),
        ActivitiesModule.forRole(role),
        RagModule,
        ...(role === 'worker' ? [] : [CampaignsModule, KeywordsModule]),
      ],
      providers: [
        { provide: APP_GUARD, useClass: RateLimitGuard },
        { provide: APP_FILTER, useClass: ProblemFilter },
      ],
    };
  }
}
