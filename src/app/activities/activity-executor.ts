import { Injectable, Logger } from '@nestjs/common';
import { redactText } from 'rednest';
import type { Activity, ActivityRun } from './activity.js';
import { ActivityLock } from './activity.lock.js';
import { ActivityStore } from './activity.store.js';
import { ModelAgent } from './model-agent.js';
import { ResumeIds } from './resume-ids.js';

/** Does the work of a run, wherever a runner has it done. */
@Injectable()
export class ActivityExecutor {
  private readonly logger = new Logger('Activities');

  constructor(
    private readonly store: ActivityStore,
    private readonly lock: ActivityLock,
    private readonly agent: ModelAgent,
    private readonly resumeIds: ResumeIds,
  ) {}

  /**
   * Runs an activity to its end, continuing the conversation of the run before. Never rejects: the end is
   * in the store.
   *
   * @param signal aborted when the process stops
   */
  async execute({ activityId, runId }: ActivityRun, signal: AbortSignal): Promise<void> {
    const run = { id: activityId, runId, startedAt: now() };
    try {
      await this.lock.using(activityId, async (lost) => {
        await this.store.save({ ...run, state: 'running' });
        const resume = await this.resumeIds.find(activityId);
        const turn = {
          prompt: activityId,
          sessionId: resume?.sessionId,
          signal: AbortSignal.any([signal, lost]),
        };
        const { output, ...session } = await this.agent.run(turn);
        await this.resumeIds.keep(activityId, session.id);
        await this.store.save({ ...run, state: 'succeeded', finishedAt: now(), session, output });
      });
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown';
      this.logger.warn(`Run ${runId} of activity ${activityId} failed: ${redactText(reason)}`);
      await this.saveFailure(run);
    }
  }

  private async saveFailure(run: Pick<Activity, 'id' | 'runId' | 'startedAt'>): Promise<void> {
    try {
      await this.store.save({ ...run, state: 'failed', finishedAt: now() });
    } catch {
      this.logger.error(`The end of run ${run.runId} of activity ${run.id} could not be stored`);
    }
  }
}

const now = (): string => new Date().toISOString();
