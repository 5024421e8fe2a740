import { Job, type JobsOptions, type Queue } from 'bullmq';
import type { RedisClient } from '../redis/index.js';
import { EXHAUSTED, NO_TURN, TAG_GUARD } from './fair-tags.js';
import { TAG_FAIR } from './queue.scripts.js';

const TAG_COMMAND = `rednest:${TAG_FAIR.name}:${TAG_FAIR.sha1}`;

/** A job as it goes to the server. */
export interface Insertion {
  readonly name: string;
  readonly data: unknown;
  readonly options: JobsOptions & { jobId: string };
  /** Present where tenants take turns. */
  readonly turn?: { readonly tenantId: string; readonly step: number } | undefined;
}

/** What became of the job. */
export interface Inserted {
  /** Its id, or that of the job it is a duplicate of. */
  readonly jobId: string;
  /** No tag was left: the job waits at the end until the queue has been empty. */
  readonly exhausted?: boolean;
}

/**
 * Adds a job in one round trip, with BullMQ's own script as it is. The command leaves before this returns: what
 * BullMQ's `add` awaits before, the executor would not see as part of its call.
 */
export async function insertJob(queue: Queue, client: RedisClient, job: Insertion): Promise<Inserted> {
  if (job.turn) return insertFairly(queue, client, job, job.turn);
  // The span of an add is made by the queue itself.
  if (queue.opts.telemetry) return { jobId: (await queue.add(job.name, job.data, job.options)).id! };
  const run: RunCommand = (name, parts) => (client as unknown as Commands)[name]!(parts);
  return { jobId: await addVia(queue, job, { ...queue.defaultJobOptions, ...job.options }, run) };
}

/**
 * Adds a job and gives it its place between the tenants, atomically and in one round trip: BullMQ's own
 * script for the add, followed by one that only sets the priority.
 */
async function insertFairly(
  queue: Queue,
  client: RedisClient,
  job: Insertion,
  { tenantId, step }: NonNullable<Insertion['turn']>,
): Promise<Inserted> {
  const { jobId } = job.options;
  const options = { ...queue.defaultJobOptions, ...job.options, priority: NO_TURN };
  const keys = [queue.toKey('prioritized'), queue.toKey('fair'), queue.toKey(jobId)];
  const args = [jobId, tenantId, step, NO_TURN, TAG_GUARD];
  // The span of an add is made by the queue itself, so that it takes two steps there.
  if (queue.opts.telemetry) {
    const added = await queue.add(job.name, job.data, options);
    const tag = await tagCommand(client)([...keys, ...args]);
    return { jobId: added.id!, exhausted: tag === EXHAUSTED };
  }
  let tag: unknown;
  const insertedId = await addVia(queue, job, options, async (name, parts) => {
    const { run, keyCount } = composedCommand(client, name);
    const reply = await run([...parts.slice(0, keyCount), ...keys, ...parts.slice(keyCount), ...args]);
    const [id, given] = reply as [string, number];
    tag = given;
    return id;
  });
  return { jobId: insertedId, exhausted: tag === EXHAUSTED };
}

type RunCommand = (name: string, parts: unknown[]) => Promise<unknown>;

/** BullMQ hands the name and the arguments of its script to `run`, before the first wait. */
async function addVia(
  queue: Queue,
  { name, data }: Insertion,
  options: Insertion['options'],
  run: RunCommand,
): Promise<string> {
  const job = new Job(queue, name, data, options, options.jobId);
  job.id = await job.addJob({ runCommand: run } as never);
  queue.emit('waiting', job);
  return job.id;
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
