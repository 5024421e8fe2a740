import { Job, type JobsOptions, type Queue } from 'bullmq';
import { ConfigurationError } from '../common/index.js';
import type { RedisClient } from '../redis/index.js';
import type { FairOptions } from './queue-contract.js';
import { TAG_FAIR } from './queue.scripts.js';

/** The highest priority BullMQ knows: a job has it between its add and its tag, within one transaction. */
const PLACEHOLDER = 2_097_151;

/** Tags end below the range of priorities; a busy period of as many jobs falls back to first come, first served. */
const TAG_GUARD = 1_900_000;

const COMMAND = `rednest:${TAG_FAIR.name}:${TAG_FAIR.sha1}`;

/** What became of the job. */
export interface FairInsert {
  /** Its id, or that of the job it is a duplicate of. */
  readonly jobId: string;
  /** No tag was left: the job waits at the end until the queue has been empty. */
  readonly exhausted: boolean;
}

/**
 * Adds a job and gives it its place between the tenants, in one transaction and one round trip. BullMQ
 * does the add; the script after it only sets the priority.
 */
export async function insertFairly(
  queue: Queue,
  client: RedisClient,
  job: { name: string; data: unknown; tenantId: string; options: JobsOptions & { jobId: string } },
  step: number,
): Promise<FairInsert> {
  const { jobId } = job.options;
  const options = { ...queue.defaultJobOptions, ...job.options, priority: PLACEHOLDER };
  defineTagCommand(client);
  const backend = queue.getBackend();
  const transaction = (await backend.client).multi();
  // Both calls only queue a command; their outcome is in the reply of the transaction.
  const adding = new Job(queue, job.name, job.data, options, jobId).addJob(transaction, {});
  const keys = [queue.toKey('prioritized'), queue.toKey('fair'), queue.toKey(jobId)];
  void transaction.runCommand(COMMAND, [...keys, jobId, job.tenantId, step, PLACEHOLDER, TAG_GUARD]);
  await adding;
  const [added, tagged] = (await transaction.exec()) ?? [];
  for (const reply of [added, tagged]) if (reply?.[0]) throw reply[0];
  return { jobId: String(added?.[1]), exhausted: tagged?.[1] === -1 };
}

/** Once per client; the client loads the script where the server does not know it. */
function defineTagCommand(client: RedisClient): void {
  if (COMMAND in client) return;
  client.defineCommand(COMMAND, { numberOfKeys: 3, lua: TAG_FAIR.lua });
}

/**
 * How far one job moves its tenant back: the inverse of the weight.
 *
 * @throws {ConfigurationError} when the weight is not above 0
 */
export function stepOf({ weight }: FairOptions, tenantId: string): number {
  const value = weight?.(tenantId) ?? 1;
  if (Number.isFinite(value) && value > 0) return 1 / value;
  throw new ConfigurationError('The weight of a tenant must be a number above 0');
}
