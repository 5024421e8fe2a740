import { Injectable } from '@nestjs/common';
import { defineQueue, QueueService, type JobView } from 'rednest/queue';
import { z } from 'zod';

/** What agents do; each role has a queue of its own. */
export const AGENT_ROLES = [
  'planner',
  'researcher',
  'writer',
  'editor',
  'designer',
  'translator',
  'reviewer',
  'scheduler',
  'publisher',
  'analyst',
  'reporter',
] as const;

/** One of {@link AGENT_ROLES}. */
export type AgentRole = (typeof AGENT_ROLES)[number];

/** Payload of an agent's job: the activity it works on. */
export const AgentTask = z.strictObject({
  activityId: z.string().min(1).max(100),
  role: z.enum(AGENT_ROLES),
});

/** {@link AgentTask} as a type. */
export type AgentTask = z.infer<typeof AgentTask>;

const jobs = {
  run: { data: AgentTask, result: z.object({ activityId: z.string(), finishedAt: z.string() }) },
};

/** Queues of all roles; tenants take turns in each. */
export const AGENT_QUEUES = AGENT_ROLES.map((role) => defineQueue(`agent__${role}`, { jobs, fair: true }));

/** Hands activities to agents; what the routes of activities need of the queues. */
@Injectable()
export class AgentQueues {
  constructor(private readonly queues: QueueService) {}

  /** An id for a job that is noted down before it is added. */
  newJobId(role: AgentRole): string {
    return this.queues.producer(`agent__${role}`).newJobId();
  }

  /**
   * Adds the job of an agent for an activity.
   *
   * @param jobId made by {@link newJobId}
   * @returns its id; shown by {@link find}
   * @throws {QueueUnavailableError} when Redis did not take it in time
   */
  run(tenantId: string, task: AgentTask, jobId: string = this.newJobId(task.role)): Promise<string> {
    return this.queues.producer(`agent__${task.role}`).add('run', task, { tenantId, jobId });
  }

  /** `undefined` for an unknown id and for a job of another tenant alike. */
  find(tenantId: string, jobId: string): Promise<JobView | undefined> {
    return this.queues.find(jobId, tenantId);
  }
}
