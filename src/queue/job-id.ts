import type { QueueName } from './queue-name.js';

const JOB_ID = /^([a-z0-9-]+__[a-z0-9-]+)\.[0-9a-f-]{36}$/;

/** The queue a job id made by Rednest names; `undefined` for any other text. */
export function queueOf(jobId: string): QueueName | undefined {
  return JOB_ID.exec(jobId)?.[1] as QueueName | undefined;
}
