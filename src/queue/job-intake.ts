import { ConfigurationError, resolveDuration, type Duration } from '../common/index.js';
import { envelope, type JobEnvelope, type JobTrace } from './job-envelope.js';
import { NO_TURN, stepOf } from './fair-tags.js';
import type { Insertion } from './job-insert.js';
import { survivesJson, toJson } from './job-json.js';
import { checkValue } from './job-schema.js';
import type { QueueContext, QueueScope } from './queue-context.js';
import type { QueueSettings } from './queue-settings.js';
import { MissingTenantError, UnknownJobError } from './queue.errors.js';

/** What a job has to be before it may go to its queue: the rules of the contract, for whoever adds jobs. */
export class JobIntake {
  constructor(
    /** Rules of the queue. */
    readonly settings: QueueSettings,
    private readonly context: QueueContext,
  ) {}

  /**
   * Checks a payload. What is stored is what was handed in: the schema's transformations run once, before
   * the handler.
   */
  check(jobName: string, data: unknown): unknown {
    const { contract, name: queue } = this.settings;
    if (!contract) return undefined;
    const schemas = Object.hasOwn(contract.jobs, jobName) ? contract.jobs[jobName] : undefined;
    if (!schemas) throw new UnknownJobError(queue, jobName);
    return checkValue(schemas.data, data, { queue, jobName, part: 'data' });
  }

  /**
   * Checks a payload, and that what will be read back from Redis passes too: a date comes back as text.
   *
   * @returns a promise only where a schema checks asynchronously
   */
  checkStorable(jobName: string, data: unknown): unknown {
    const checked = this.check(jobName, data);
    if (survivesJson(data)) return checked;
    const readBack = (): unknown => {
      const text = toJson(data, { queue: this.settings.name, jobName, part: 'data' });
      return this.check(jobName, text === undefined ? undefined : JSON.parse(text));
    };
    return checked instanceof Promise ? checked.then(readBack) : readBack();
  }

  /** The tenant a job belongs to: the one given, else that of the scope. */
  tenantOf(jobName: string, tenantId: string | null | undefined): string | null {
    const { contract, name } = this.settings;
    const owner = tenantId === undefined ? (this.context.current?.tenantId ?? null) : tenantId;
    if (owner === null && contract?.tenant) throw new MissingTenantError(name, jobName);
    return owner;
  }

  /** @param claim key of a claim that ends when the job fails for good */
  wrap(data: unknown, tenantId: string | null, claim?: string): JobEnvelope {
    const trace = traceOf(this.context.current);
    if (trace === undefined) return envelope(data, tenantId, claim === undefined ? undefined : { claim });
    return envelope(data, tenantId, claim === undefined ? { trace } : { trace, claim });
  }

  /** Whether the tenants of the queue take turns. */
  get isFair(): boolean {
    return this.settings.contract?.fair !== undefined;
  }

  /** What a tenant's job needs to get its turn with the add; `undefined` where it needs none. */
  turnOf(tenantId: string | null): Insertion['turn'] {
    const fair = this.settings.contract?.fair;
    return fair && tenantId !== null ? { tenantId, step: stepOf(fair, tenantId) } : undefined;
  }

  /** Options of a job that BullMQ itself brings into the line, now or later; a worker gives it its turn there. */
  get laterOptions(): { priority?: number } {
    return this.isFair ? { priority: NO_TURN } : {};
  }

  /** @throws {ConfigurationError} on a fair queue, where turns decide who comes when */
  refuseOrder(options: { priority?: number | undefined; lifo?: boolean | undefined }): void {
    if (!this.isFair) return;
    for (const option of ['priority', 'lifo'] as const) {
      if (!options[option]) continue;
      throw new ConfigurationError(
        `Queue "${this.settings.name}" is fair and takes no ${option}; drop it, or use a queue that is not fair`,
      );
    }
  }

  /**
   * How long a deduplication key is taken. A key that outlived its job would let a second one in.
   *
   * @throws {ConfigurationError} when it is longer than ended jobs are kept
   */
  onceTtlMs(ttl: Duration): number {
    const ttlMs = resolveDuration(ttl, 'ttl', { minMs: 1000 });
    const { name, keepCompletedMs, keepFailedMs } = this.settings;
    if (ttlMs <= Math.min(keepCompletedMs, keepFailedMs)) return ttlMs;
    throw new ConfigurationError(
      `A key of queue "${name}" cannot outlive its job: ttl may be at most as long as the queue keeps ` +
        'ended jobs; raise its retention, or use a shorter ttl',
    );
  }
}

function traceOf(scope: QueueScope | undefined): JobTrace | undefined {
  if (scope?.traceparent === undefined) return undefined;
  const { traceparent, tracestate } = scope;
  return tracestate === undefined ? { traceparent } : { traceparent, tracestate };
}
