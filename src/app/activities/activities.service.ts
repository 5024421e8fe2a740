import { Injectable } from '@nestjs/common';
import { AgentQueues } from '../agents/agent-queues.js';
import type { Activity, ActivityKey, ActivityRun, RunRequest } from './activity.js';
import { ActivityLock } from './activity.lock.js';
import { ActivityStore } from './activity.store.js';
import { ResumeIds } from './resume-ids.js';

/** Takes runs of activities and tells what became of them; a worker does them. */
@Injectable()
export class ActivitiesService {
  constructor(
    private readonly store: ActivityStore,
    private readonly lock: ActivityLock,
    private readonly agents: AgentQueues,
    private readonly resumeIds: ResumeIds,
  ) {}

  /**
   * Has an agent run an activity; `undefined` while somebody works on it.
   *
   * @throws {QueueUnavailableError} when the run could not be handed over
   */
  async run(activityId: string, { tenantId, role }: RunRequest): Promise<ActivityRun | undefined> {
    if (await this.lock.isHeld({ tenantId, activityId })) return undefined;
    const runId = this.agents.newJobId(role);
    // First noted, then handed over: the worker may be done before an add is answered.
    const queuedAt = new Date().toISOString();
    await this.store.begin({ tenantId, id: activityId, runId, state: 'queued', queuedAt });
    await this.agents.run(tenantId, { activityId, role }, runId);
    return { tenantId, activityId, runId };
  }

  /**
   * The last run of an activity, and where the next one continues; `undefined` before the first, and for an
   * activity of another tenant alike.
   */
  async find(key: ActivityKey): Promise<(Activity & { resume: object | null }) | undefined> {
    const activity = await this.store.findLast(key);
    if (!activity) return undefined;
    return { ...activity, resume: (await this.resumeIds.find(key)) ?? null };
  }
}
