import { Injectable } from '@nestjs/common';
import { ConnectionRegistry, defineKeyspace, KeyspaceRegistry, RedisOperations } from 'rednest';
import type { Activity, ActivityKey, ActivityRun } from './activity.js';

/** Where activities live, for the process that takes a run and the one that does the work alike. */
export abstract class ActivityStore {
  /** Reads the last run of an activity. */
  abstract findLast(activity: ActivityKey): Promise<Activity | undefined>;
  /** Reads a run. */
  abstract find(run: ActivityRun): Promise<Activity | undefined>;
  /** Notes a run, which is the last one of its activity from now on. */
  abstract begin(activity: Activity): Promise<void>;
  /** Writes what became of a run. */
  abstract save(activity: Activity): Promise<void>;
}

/** How long a run is remembered. */
const TTL = '7d';

/** The last run of each activity. */
export const LAST_RUN = defineKeyspace({
  capability: 'activity',
  name: 'last',
  routing: 'activityId',
  parts: ['tenantId'],
  ttl: TTL,
  value: 'string',
  description: 'Which run of an activity is the last one',
});

/** The runs of activities. */
export const RUNS = defineKeyspace({
  capability: 'activity',
  name: 'run',
  routing: 'activityId',
  parts: ['tenantId', 'runId'],
  ttl: TTL,
  value: 'json',
  description: 'What became of a run of an activity',
});

/**
 * Keeps runs in Redis. Each has a key of its own, so that the late end of an earlier run does not touch the last
 * one, and every write may be sent again.
 */
@Injectable()
export class RedisActivityStore extends ActivityStore {
  constructor(
    private readonly operations: RedisOperations,
    private readonly connections: ConnectionRegistry,
    keyspaces: KeyspaceRegistry,
  ) {
    super();
    keyspaces.register(LAST_RUN);
    keyspaces.register(RUNS);
  }

  override async findLast(activity: ActivityKey): Promise<Activity | undefined> {
    const runId = await this.read('activity.last', this.lastKey(activity));
    return runId === undefined ? undefined : this.find({ ...activity, runId });
  }

  override async find(run: ActivityRun): Promise<Activity | undefined> {
    const text = await this.read('activity.find', this.runKey(run));
    return text === undefined ? undefined : (JSON.parse(text) as Activity);
  }

  override async begin(activity: Activity): Promise<void> {
    const { runId } = activity;
    const run = runOf(activity);
    await this.operations.multi(
      'activity.begin',
      (queue) => [
        queue.set(this.runKey(run), JSON.stringify(activity), 'PX', RUNS.ttlMs!),
        queue.set(this.lastKey(run), runId, 'PX', LAST_RUN.ttlMs!),
      ],
      { idempotent: true },
    );
  }

  override async save(activity: Activity): Promise<void> {
    const key = this.runKey(runOf(activity));
    await this.connections
      .executor()
      .run('activity.save', (client) => client.set(key, JSON.stringify(activity), 'PX', RUNS.ttlMs!), {
        idempotent: true,
      });
  }

  private async read(operation: string, key: string): Promise<string | undefined> {
    const found = await this.connections
      .executor()
      .run(operation, (client) => client.get(key), { idempotent: true });
    return found ?? undefined;
  }

  private lastKey({ tenantId, activityId }: ActivityKey): string {
    return LAST_RUN.key(this.connections.configuration.keyPrefix, activityId, tenantId);
  }

  private runKey({ tenantId, activityId, runId }: ActivityRun): string {
    return RUNS.key(this.connections.configuration.keyPrefix, activityId, tenantId, runId);
  }
}

function runOf({ tenantId, id, runId }: Activity): ActivityRun {
  return { tenantId, activityId: id, runId };
}
