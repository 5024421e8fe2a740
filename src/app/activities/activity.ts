import { z } from 'zod';
import { AGENT_ROLES } from '../agents/agent-queues.js';
import { TenantId } from '../notifications/notification.js';
import { Identifier } from '../validation.js';

/** Identifier of an activity in a path. */
export const ActivityId = Identifier;

/** Whose activity it is, until a login tells. */
export const ActivityTenant = TenantId.default('demo');

/** Body of a request to run an activity; all of it may be left out. */
export const RunRequest = z.preprocess(
  (body) => body ?? {},
  z.strictObject({ tenantId: ActivityTenant, role: z.enum(AGENT_ROLES).default('planner') }),
);

/** {@link RunRequest} as a type. */
export type RunRequest = z.infer<typeof RunRequest>;

/** An activity of a tenant. Others may have one of the same id. */
export interface ActivityKey {
  readonly tenantId: string;
  readonly activityId: string;
}

/** One run of an activity. */
export interface ActivityRun extends ActivityKey {
  /** Id of its job. */
  readonly runId: string;
}

/** The conversation a run had with a model. */
export interface ActivitySession {
  /** Id the model gave to it; the next run continues it. */
  readonly id: string;
  /** Whether the run continued an earlier one. */
  readonly resumed: boolean;
  /** Runs in the conversation so far. */
  readonly turns: number;
}

/** What is known about an activity: one of its runs, mostly the last. */
export interface Activity {
  readonly tenantId: string;
  readonly id: string;
  readonly runId: string;
  readonly state: 'queued' | 'running' | 'succeeded' | 'failed';
  readonly queuedAt: string;
  readonly startedAt?: string;
  readonly finishedAt?: string;
  readonly session?: ActivitySession;
  readonly output?: string;
}
