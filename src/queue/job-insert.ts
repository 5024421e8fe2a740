import { Job, type JobsOptions, type Queue } from 'bullmq';
import { ConfigurationError } from '../common/index.js';
import type { RedisClient } from '../redis/index.js';
import type { FairOptions } from './queue-contract.js';
import { TAG_FAIR } from './queue.scripts.js';

/** The highest priority BullMQ knows: a job has it between its add and its tag, within one transaction. */
const PLACEHOLDER = 2_097_151;

/** Tags end below the range of priorities; a busy period of as many jobs falls back to first come, first served. */
const TAG_GUARD = 1_900_000;

/** Reply of the script when no tag was left. */
const EXHAUSTED = -1;

const TAG_COMMAND = `rednest:${TAG_FAIR.name}:${TAG_FAIR.sha1}`;

/** What became of the job. */
export interface FairInsert {
  /** Its id, or that of the job it is a duplicate of. */
  readonly jobId: string;
  /** No tag was left: the job waits at the end until the queue has been empty. */
  readonly exhausted: boolean;
}

/**
 * Adds a job and gives it its place between the tenants, atomically and in one round trip: BullMQ's own
 * script for the add, as it is, followed by one that only sets the priority.
 */
export async function insertFairly(
  queue: Queue,
  client: RedisClient,
  job: { name: string; data: unknown; tenantId: string; options: JobsOptions & { jobId: string } },
  step: number,
): Promise<FairInsert> {
  const { jobId } = job.options;
  const options = { ...queue.defaultJobOptions, ...job.options, priority: PLACEHOLDER };
  const keys = [queue.toKey('prioritized'), queue.toKey('fair'), queue.toKey(jobId)];
  const args = [jobId, job.tenantId, step, PLACEHOLDER, TAG_GUARD];
  // The span of an add is made by the queue itself, so that it takes two steps there.
  if (queue.opts.telemetry) {
    const added = await queue.add(job.name, job.data, options);
    const tag = await tagCommand(client)([...keys, ...args]);
    return { jobId: added.id!, exhausted: tag === EXHAUSTED };
  }
  let reply: unknown;
  // BullMQ hands in the name and the arguments of the script it would run.
  const transaction = {
    runCommand: (name: string, parts: unknown[]): void => {
      const { run, keyCount } = composedCommand(client, name);
      reply = run([...parts.slice(0, keyCount), ...keys, ...parts.slice(keyCount), ...args]);
    },
  };
  const adding = new Job(queue, job.name, job.data, options, jobId).addJob(transaction as never);
  const [[addedId, tag]] = await Promise.all([reply as Promise<[string, number]>, adding]);
  return { jobId: addedId, exhausted: tag === EXHAUSTED };
}

type Command = (parts: unknown[]) => Promise<unknown>;

/** What the client keeps of a command that was defined from a script. */
interface DefinedScript {
  readonly lua: string;
  readonly numberOfKeys: number;
}

type Commands = Record<string, Command | undefined> & {
  readonly scriptsSet: Record<string, DefinedScript | undefined>;
};

function tagCommand(client: RedisClient): Command {
  if (!(TAG_COMMAND in client)) client.defineCommand(TAG_COMMAND, { numberOfKeys: 3, lua: TAG_FAIR.lua });
  return (parts) => (client as unknown as Commands)[TAG_COMMAND]!(parts);
}

/** Both scripts as one command, defined once per client. */
function composedCommand(client: RedisClient, name: string): { run: Command; keyCount: number } {
  const commands = client as unknown as Commands;
  const base = commands.scriptsSet[name];
  if (base === undefined) throw new Error(`BullMQ has not defined the command ${name}`);
  const keyCount = base.numberOfKeys;
  const composed = `${TAG_COMMAND}:${name}`;
  if (!(composed in client)) {
    client.defineCommand(composed, { numberOfKeys: keyCount + 3, lua: compose(base.lua, keyCount) });
  }
  return { run: (parts) => commands[composed]!(parts), keyCount };
}

/** Arguments that BullMQ's scripts for adds take beside their keys. */
const ADD_ARGUMENTS = 3;

function compose(add: string, keyCount: number): string {
  const rest = (table: string, after: number, count: number): string =>
    Array.from({ length: count }, (_, index) => `${table}[${after + index + 1}]`).join(', ');
  return [
    `local jobId = (function()\n${add}\nend)()`,
    `local tag = (function(KEYS, ARGV)\n${TAG_FAIR.lua}\nend)` +
      `({ ${rest('KEYS', keyCount, 3)} }, { ${rest('ARGV', ADD_ARGUMENTS, 5)} })`,
    'return { jobId, tag }',
  ].join('\n');
}

/** A tenant of a smaller weight would use up the tags of a busy period with a few jobs. */
const LEAST_WEIGHT = 0.01;

/** More than this is no share any more. */
const GREATEST_WEIGHT = 100;

/**
 * How far one job moves its tenant back: the inverse of the weight.
 *
 * @throws {ConfigurationError} when the weight is out of bounds
 */
export function stepOf({ weight }: FairOptions, tenantId: string): number {
  const value = weight?.(tenantId) ?? 1;
  if (value >= LEAST_WEIGHT && value <= GREATEST_WEIGHT) return 1 / value;
  throw new ConfigurationError(
    `The weight of a tenant must be a number from ${LEAST_WEIGHT} to ${GREATEST_WEIGHT}`,
  );
}
