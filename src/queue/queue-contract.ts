import type { StandardSchemaV1 } from '@standard-schema/spec';
import { ConfigurationError, resolveDuration, resolveWholeNumber, type Duration } from '../common/index.js';
import { assertQueueName, type CheckedQueueName, type QueueName } from './queue-name.js';

/** Schemas of one kind of job; any library that speaks Standard Schema will do. */
export interface JobSchemas {
  /** Payload. Checked before the job is added, and again before its handler runs. */
  readonly data: StandardSchemaV1;
  /** What the handler returns; unchecked when left out. */
  readonly result?: StandardSchemaV1;
}

/** Sharing a queue between tenants. */
export interface FairOptions {
  /**
   * Share of a tenant relative to the others; a tenant of weight 2 gets twice the jobs of one of weight 1
   * while both wait. 0.01 to 100. Called for every add. @default 1 for everybody
   */
  readonly weight?: (tenantId: string) => number;
}

/** What {@link defineQueue} takes beside the name. */
export interface QueueDefinition<Jobs extends Readonly<Record<string, JobSchemas>>> {
  /** Kinds of jobs by name. */
  readonly jobs: Jobs;
  /** Every job belongs to a tenant; adding one without is refused. @default true */
  readonly tenant?: boolean;
  /**
   * A tenant with many waiting jobs does not make the others wait. Takes the place of `priority` and `lifo`,
   * which such a queue refuses. @default false
   */
  readonly fair?: boolean | FairOptions;
  /** How long ended jobs are kept. @default the module's `keepCompleted` and `keepFailed` */
  readonly retention?: { readonly completed?: Duration; readonly failed?: Duration };
  /** How often a job is tried. @default the module's `attempts` */
  readonly attempts?: number;
  /** Delay before the second attempt. @default the module's `backoff` */
  readonly backoff?: Duration;
}

/** A queue as producers and processors agree on it; made by {@link defineQueue}. */
export interface QueueContract<
  Name extends QueueName = QueueName,
  Jobs extends Readonly<Record<string, JobSchemas>> = Readonly<Record<string, JobSchemas>>,
> {
  /** Name of the queue. */
  readonly name: Name;
  /** Kinds of jobs by name. */
  readonly jobs: Jobs;
  /** Whether every job belongs to a tenant. */
  readonly tenant: boolean;
  /** Present when tenants share the queue fairly. */
  readonly fair: FairOptions | undefined;
  /** How long completed jobs are kept; absent: as the module says. */
  readonly keepCompletedMs: number | undefined;
  /** How long failed jobs are kept; absent: as the module says. */
  readonly keepFailedMs: number | undefined;
  /** Attempts per job; absent: as the module says. */
  readonly attempts: number | undefined;
  /** Delay before the second attempt; absent: as the module says. */
  readonly backoffMs: number | undefined;
}

/** Names of the jobs of a contract. */
export type JobName<C extends QueueContract> = Extract<keyof C['jobs'], string>;

/** What a producer hands in for a job. */
export type JobInput<C extends QueueContract, N extends JobName<C>> = StandardSchemaV1.InferInput<
  C['jobs'][N]['data']
>;

/** What a handler gets: the payload after the schema's transformations. */
export type JobData<C extends QueueContract, N extends JobName<C>> = StandardSchemaV1.InferOutput<
  C['jobs'][N]['data']
>;

/** What a handler returns. */
export type JobReturn<C extends QueueContract, N extends JobName<C>> = C['jobs'][N] extends {
  readonly result: infer R extends StandardSchemaV1;
}
  ? StandardSchemaV1.InferInput<R>
  : unknown;

/** What is stored as the result of a job. */
export type JobResult<C extends QueueContract, N extends JobName<C>> = C['jobs'][N] extends {
  readonly result: infer R extends StandardSchemaV1;
}
  ? StandardSchemaV1.InferOutput<R>
  : unknown;

/**
 * Declares a queue once, for everybody who adds jobs to it or runs them: its jobs, their payloads and
 * results, and its rules.
 *
 * @throws {ConfigurationError} naming the setting and a fix
 * @example
 * export const Mail = defineQueue('notifications__email', {
 *   jobs: { welcome: { data: z.object({ to: z.email() }), result: z.object({ id: z.string() }) } },
 *   fair: true,
 *   retention: { completed: '1d', failed: '7d' },
 * });
 */
export function defineQueue<
  const Name extends string,
  const Jobs extends Readonly<Record<string, JobSchemas>>,
>(
  name: Name & CheckedQueueName<Name>,
  definition: QueueDefinition<Jobs>,
): QueueContract<Name & QueueName, Jobs> {
  const checked = assertQueueName(name) as Name & QueueName;
  const { jobs, tenant = true, fair = false, retention = {}, attempts, backoff } = definition;
  if (Object.keys(jobs).length === 0) {
    throw new ConfigurationError(`Queue "${name}" has no jobs; declare one under "jobs"`);
  }
  if (fair !== false && !tenant) {
    throw new ConfigurationError(
      `Queue "${name}" is fair between tenants and has none; drop "tenant: false"`,
    );
  }
  return Object.freeze({
    name: checked,
    jobs: Object.freeze({ ...jobs }),
    tenant,
    fair: fair === false ? undefined : Object.freeze(fair === true ? {} : { ...fair }),
    keepCompletedMs: optional(retention.completed, `${name}.retention.completed`, 1000),
    keepFailedMs: optional(retention.failed, `${name}.retention.failed`, 1000),
    attempts: attempts === undefined ? undefined : resolveWholeNumber(attempts, `${name}.attempts`),
    backoffMs: optional(backoff, `${name}.backoff`, 0),
  });
}

/** @internal The contract of a queue that was registered by its name alone: anything goes. */
export function nameOf(queue: QueueName | QueueContract): QueueName {
  return assertQueueName(typeof queue === 'string' ? queue : queue.name);
}

function optional(duration: Duration | undefined, name: string, minMs: number): number | undefined {
  return duration === undefined ? undefined : resolveDuration(duration, name, { minMs });
}
