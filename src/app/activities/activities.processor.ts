import { Logger } from '@nestjs/common';
import { OnDeadLetter, OnJob, QueueProcessor, type DeadLetter, type JobContext } from 'rednest/queue';
import { AGENT_QUEUES, type AgentTask } from '../agents/agent-queues.js';
import { ActivityExecutor } from './activity-executor.js';

/** Runs the jobs of agents: each is a run of an activity. */
@QueueProcessor(AGENT_QUEUES, { concurrency: 5 })
export class ActivitiesProcessor {
  private readonly logger = new Logger('Activities');

  constructor(private readonly executor: ActivityExecutor) {}

  @OnJob('run')
  async run(
    { activityId }: AgentTask,
    { tenantId, job, signal }: JobContext,
  ): Promise<{ activityId: string; finishedAt: string }> {
    const { finishedAt } = await this.executor.execute(
      { tenantId: tenantId!, activityId, runId: job.id! },
      signal,
    );
    return { activityId, finishedAt: finishedAt! };
  }

  @OnDeadLetter()
  async gaveUp({ queue, jobId, tenantId, data, failedReason }: DeadLetter): Promise<void> {
    const { activityId } = data as AgentTask;
    this.logger.warn(`${queue} gave up ${jobId} of activity ${activityId}: ${failedReason}`);
    await this.executor.giveUp({ tenantId: tenantId!, activityId, runId: jobId });
  }
}
