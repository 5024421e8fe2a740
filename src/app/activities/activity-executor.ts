import { Injectable } from '@nestjs/common';
import type { Activity, ActivityRun } from './activity.js';
import { ActivityLock } from './activity.lock.js';
import { ActivityStore } from './activity.store.js';
import { ModelAgent } from './model-agent.js';
import { ResumeIds } from './resume-ids.js';

/** Does the work of a run, in whichever process. */
@Injectable()
export class ActivityExecutor {
  constructor(
    private readonly store: ActivityStore,
    private readonly lock: ActivityLock,
    private readonly agent: ModelAgent,
    private readonly resumeIds: ResumeIds,
  ) {}

  /**
   * Runs an activity to its end, continuing the conversation of the run before. May be called again after it
   * rejected.
   *
   * @param signal aborted when the process stops
   */
  execute(run: ActivityRun, signal: AbortSignal): Promise<Activity> {
    return this.lock.using(run, async (lost) => {
      const running: Activity = { ...(await this.known(run)), state: 'running', startedAt: now() };
      await this.store.save(running);
      const resume = await this.resumeIds.find(run);
      const { output, ...session } = await this.agent.run({
        prompt: run.activityId,
        sessionId: resume?.sessionId,
        signal: AbortSignal.any([signal, lost]),
      });
      await this.resumeIds.keep(run, session.id);
      const ended: Activity = { ...running, state: 'succeeded', finishedAt: now(), session, output };
      await this.store.save(ended);
      return ended;
    });
  }

  /** Notes that a run will not be tried again. */
  async giveUp(run: ActivityRun): Promise<void> {
    await this.store.save({ ...(await this.known(run)), state: 'failed', finishedAt: now() });
  }

  /** A job may come from elsewhere than the route. */
  private async known(run: ActivityRun): Promise<Activity> {
    const { tenantId, activityId: id, runId } = run;
    return (await this.store.find(run)) ?? { tenantId, id, runId, state: 'queued', queuedAt: now() };
  }
}

const now = (): string => new Date().toISOString();
