import { UnrecoverableError, type Job } from 'bullmq';
import { ConfigurationError } from '../common/index.js';
import { openEnvelope } from './job-envelope.js';
import { ANY_JOB, ON_JOB, type JobContext } from './queue.decorators.js';
import { UnhandledJobError } from './queue.errors.js';

type Handler = (data: unknown, context: JobContext) => unknown;

/** Finds the handler of a job on a processor instance and runs it. */
export class JobDispatcher {
  private readonly handlers = new Map<string, Handler>();

  /** @throws {ConfigurationError} when two methods take the same job */
  constructor(instance: object) {
    for (const [jobName, method] of handlerMethods(instance)) {
      if (this.handlers.has(jobName)) {
        throw new ConfigurationError(
          `${instance.constructor.name} has two methods with @OnJob('${jobName}'); keep one of them`,
        );
      }
      this.handlers.set(jobName, method.bind(instance) as Handler);
    }
  }

  /** Names with a handler; `*` stands for all others. */
  get jobNames(): readonly string[] {
    return [...this.handlers.keys()];
  }

  /** Runs the handler of the job's name. */
  async dispatch(job: Job, signal: AbortSignal): Promise<unknown> {
    const handler = this.handlers.get(job.name) ?? this.handlers.get(ANY_JOB);
    if (!handler) {
      throw new UnrecoverableError(new UnhandledJobError(job.queueName, job.name).message);
    }
    const { data, tenantId } = openEnvelope(job.data);
    return handler(data, { job, tenantId, signal });
  }
}

type Method = (...args: never[]) => unknown;

/**
 * Methods with `@OnJob`, inherited ones included. An override runs in place of what it overrides,
 * for the job it names itself or else the one its parent names.
 */
function* handlerMethods(instance: object): Generator<[string, Method]> {
  const found = new Set<string | symbol>();
  for (
    let prototype: object | null = Object.getPrototypeOf(instance) as object;
    prototype && prototype !== Object.prototype;
    prototype = Object.getPrototypeOf(prototype) as object | null
  ) {
    for (const key of Reflect.ownKeys(prototype)) {
      const value: unknown = Object.getOwnPropertyDescriptor(prototype, key)?.value;
      if (typeof value !== 'function') continue;
      const jobName: unknown = Reflect.getMetadata(ON_JOB, value);
      if (typeof jobName !== 'string' || found.has(key)) continue;
      found.add(key);
      yield [jobName, (instance as Record<string | symbol, Method>)[key]!];
    }
  }
}
