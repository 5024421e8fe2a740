import type { StandardSchemaV1 } from '@standard-schema/spec';
import { UnrecoverableError, type Job } from 'bullmq';
import { ConfigurationError } from '../common/index.js';
import { openEnvelope } from './job-envelope.js';
import { checkValue, type CheckedPart } from './job-schema.js';
import { markedMethods } from './processor-methods.js';
import { QueueContext } from './queue-context.js';
import type { QueueContract } from './queue-contract.js';
import { ANY_JOB, ON_JOB, type JobContext } from './queue.decorators.js';
import { JobValidationError, UnhandledJobError } from './queue.errors.js';
import { goOn } from './thenable.js';

type Handler = (data: unknown, context: JobContext) => unknown;

/** Finds the handler of a job on a processor instance and runs it, in the scope the job was added in. */
export class JobDispatcher {
  private readonly handlers = new Map<string, Handler>();
  private readonly methodNames = new Map<string, string | symbol>();

  /** @throws {ConfigurationError} when two methods take the same job */
  constructor(
    private readonly instance: object,
    private readonly context: QueueContext = new QueueContext(),
  ) {
    for (const { key, mark: jobName, method } of markedMethods<string>(instance, ON_JOB)) {
      if (this.handlers.has(jobName)) {
        throw new ConfigurationError(
          `${this.host} has two methods with @OnJob('${jobName}'); keep one of them`,
        );
      }
      this.handlers.set(jobName, method as Handler);
      this.methodNames.set(jobName, key);
    }
  }

  private get host(): string {
    return this.instance.constructor.name;
  }

  /** Names with a handler; `*` stands for all others. */
  get jobNames(): readonly string[] {
    return [...this.handlers.keys()];
  }

  /**
   * Compares the handlers with the contracts of the queues they work for.
   *
   * @throws {ConfigurationError} with every job that has no handler, and every handler without a job
   */
  assertHandles(contracts: readonly QueueContract[]): void {
    if (contracts.length === 0) return;
    const faults = contracts.flatMap(({ name, jobs }) =>
      Object.keys(jobs)
        .filter((jobName) => !this.handlers.has(jobName) && !this.handlers.has(ANY_JOB))
        .map(
          (jobName) =>
            `${this.host} does not handle job "${jobName}" of queue "${name}"; add a method with @OnJob('${jobName}')`,
        ),
    );
    const known = new Set(contracts.flatMap(({ jobs }) => Object.keys(jobs)));
    for (const jobName of this.handlers.keys()) {
      if (jobName === ANY_JOB || known.has(jobName)) continue;
      faults.push(`${this.host} handles job "${jobName}", which no contract of its queues declares`);
    }
    for (const [jobName, method] of this.methodNames) {
      const meant = [...known].find((other) => other !== jobName && methodNameOf(other) === method);
      if (meant === undefined || methodNameOf(jobName) === method) continue;
      faults.push(
        `${this.host}.${String(method)} is named like job "${meant}" and marked @OnJob('${jobName}'); make them agree`,
      );
    }
    if (faults.length > 0) throw new ConfigurationError(faults);
  }

  /**
   * Runs the handler of the job's name; with a contract, checks its payload. The answer is the handler's, to be
   * checked by {@link checkResult}: a promise only where the handler, or an asynchronous schema, gives one.
   *
   * @throws what the handler throws, and `UnrecoverableError` where another attempt would end the same way
   */
  dispatch(job: Job, control: Pick<JobContext, 'signal'>, contract?: QueueContract): unknown {
    const handler = this.handlers.get(job.name) ?? this.handlers.get(ANY_JOB);
    if (!handler) {
      throw new UnrecoverableError(new UnhandledJobError(job.queueName, job.name).message);
    }
    const { data, tenantId, trace } = openEnvelope(job.data);
    const context = new RunningJob(job, tenantId, control);
    const scope = trace === undefined ? { tenantId } : { tenantId, ...trace };
    const schema = schemasOf(job, contract)?.data;
    const handle = (payload: unknown): unknown => this.context.run(scope, () => handler(payload, context));
    return schema ? goOn(checkForGood(schema, data, partOf(job, 'data')), handle) : handle(data);
  }

  /**
   * Checks what a handler came to, where there is a contract for it; a promise only where the schema gives one.
   *
   * @throws `UnrecoverableError` when it does not match
   */
  checkResult(job: Job, value: unknown, contract?: QueueContract): unknown {
    const schema = schemasOf(job, contract)?.result;
    return schema ? checkForGood(schema, value, partOf(job, 'result')) : value;
  }
}

/** The signal is made when a handler asks for it: most do not. */
class RunningJob implements JobContext {
  constructor(
    readonly job: Job,
    readonly tenantId: string | null,
    private readonly control: Pick<JobContext, 'signal'>,
  ) {}

  get signal(): AbortSignal {
    return this.control.signal;
  }
}

function schemasOf({ name }: Job, contract: QueueContract | undefined) {
  return contract && Object.hasOwn(contract.jobs, name) ? contract.jobs[name] : undefined;
}

function partOf(job: Job, part: CheckedPart['part']): CheckedPart {
  return { queue: job.queueName, jobName: job.name, part };
}

/** What does not match now will not match the next time either. A promise where the schema is asynchronous. */
function checkForGood(schema: StandardSchemaV1, value: unknown, part: CheckedPart): unknown {
  try {
    const checked = checkValue(schema, value, part);
    return checked instanceof Promise ? checked.catch(failForGood) : checked;
  } catch (error) {
    return failForGood(error);
  }
}

function failForGood(error: unknown): never {
  if (error instanceof JobValidationError) throw new UnrecoverableError(error.message);
  throw error;
}

/** `sendMail` for `send-mail`, as the type of a processor has it. */
function methodNameOf(jobName: string): string {
  return jobName.replaceAll(/-(.?)/g, (_dash, letter: string) => letter.toUpperCase());
}
