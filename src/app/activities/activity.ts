import { z } from 'zod';

/** Identifier of an activity in a path. */
export const ActivityId = z
  .string()
  .regex(/^[A-Za-z0-9._-]{1,64}$/, 'letters, digits and . _ - (at most 64)');

/** One run of an activity, as it is handed to a runner; plain data, so that a queue can carry it. */
export interface ActivityRun {
  readonly activityId: string;
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

/** What is known about an activity: its last run. */
export interface Activity {
  readonly id: string;
  readonly runId: string;
  readonly state: 'running' | 'succeeded' | 'failed';
  readonly startedAt: string;
  readonly finishedAt?: string;
  readonly session?: ActivitySession;
  readonly output?: string;
}
