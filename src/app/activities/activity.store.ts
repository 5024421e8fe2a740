import { Injectable } from '@nestjs/common';
import type { Activity } from './activity.js';

/** Where activities live; a database in a real service. */
export abstract class ActivityStore {
  /** Reads an activity. */
  abstract find(id: string): Promise<Activity | undefined>;
  /** Writes an activity. An end is only written for the run that is the last one. */
  abstract save(activity: Activity): Promise<void>;
}

/** Keeps activities in memory. */
@Injectable()
export class InMemoryActivityStore extends ActivityStore {
  private readonly activities = new Map<string, Activity>();

  override async find(id: string): Promise<Activity | undefined> {
    return this.activities.get(id);
  }

  override async save(activity: Activity): Promise<void> {
    const current = this.activities.get(activity.id);
    if (activity.state !== 'running' && current?.runId !== activity.runId) return;
    this.activities.set(activity.id, activity);
  }
}
