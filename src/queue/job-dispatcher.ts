import { UnrecoverableError, type Job } from 'bullmq';
import { openEnvelope } from './job-envelope.js';
import { ANY_JOB, ON_JOB, type JobContext } from './queue.decorators.js';
import { UnhandledJobError } from './queue.errors.js';

type Handler = (data: unknown, context: JobContext) => unknown;

/** Finds the handler of a job on a processor instance and runs it. */
export class JobDispatcher {
  private readonly handlers = new Map<string, Handler>();

  constructor(instance: object) {
    for (const [jobName, method] of handlerMethods(instance)) {
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

function* handlerMethods(instance: object): Generator<[string, (...args: never[]) => unknown]> {
  for (
    let prototype: object | null = Object.getPrototypeOf(instance) as object;
    prototype && prototype !== Object.prototype;
    prototype = Object.getPrototypeOf(prototype) as object | null
  ) {
    for (const key of Reflect.ownKeys(prototype)) {
      const value: unknown = Object.getOwnPropertyDescriptor(prototype, key)?.value;
      if (typeof value !== 'function') continue;
      const jobName: unknown = Reflect.getMetadata(ON_JOB, value);
      if (typeof jobName === 'string') yield [jobName, value as (...args: never[]) => unknown];
    }
  }
}
