import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { Activity, ActivityRun } from './activity.js';
import { ActivityLock } from './activity.lock.js';
import { ActivityRunner } from './activity-runner.js';
import { ActivityStore } from './activity.store.js';
import { ResumeIds } from './resume-ids.js';

/** Takes runs of activities and tells what became of them. */
@Injectable()
export class ActivitiesService {
  constructor(
    private readonly store: ActivityStore,
    private readonly lock: ActivityLock,
    private readonly runner: ActivityRunner,
    private readonly resumeIds: ResumeIds,
  ) {}

  /** Has an activity run; `undefined` while somebody works on it. */
  async run(activityId: string): Promise<ActivityRun | undefined> {
    if (await this.lock.isHeld(activityId)) return undefined;
    const run = { activityId, runId: randomUUID() };
    await this.store.save({
      id: activityId,
      runId: run.runId,
      state: 'running',
      startedAt: new Date().toISOString(),
    });
    await this.runner.start(run);
    return run;
  }

  /** The last run of an activity, and where the next one continues; `undefined` before the first. */
  async find(activityId: string): Promise<(Activity & { resume: object | null }) | undefined> {
    const activity = await this.store.find(activityId);
    if (!activity) return undefined;
    return { ...activity, resume: (await this.resumeIds.find(activityId)) ?? null };
  }
}
