import { OnJob, QueueProcessor, type JobContext } from 'rednest/queue';
import { AGENT_QUEUES, type AgentTask } from './agent-queues.js';

/** Time an agent takes for its part of an activity, in milliseconds. */
const WORK_MS = 20;

/** Does the work of agents; a stand-in for the models of a real service. */
@QueueProcessor(AGENT_QUEUES, { concurrency: 5 })
export class AgentsProcessor {
  @OnJob('run')
  async run(
    { activityId }: AgentTask,
    { job, signal }: JobContext,
  ): Promise<{ activityId: string; finishedAt: string }> {
    await job.updateProgress(50);
    await new Promise((resolve) => setTimeout(resolve, WORK_MS));
    signal.throwIfAborted();
    return { activityId, finishedAt: new Date().toISOString() };
  }
}
