import type { Queue } from 'bullmq';
import type { RedisClient } from '../redis/index.js';

/** BullMQ's script for removals, and the command that runs it for dead jobs only. */
const REMOVE = 'removeJob:';
const REMOVE_DEAD = 'rednest:remove-dead';

/** Reply when the job is not among the dead; BullMQ's own replies are 1 and small negative numbers. */
const ALIVE = -1000;

interface Commands {
  readonly scriptsSet: Record<string, { readonly lua: string; readonly numberOfKeys: number } | undefined>;
  [REMOVE_DEAD]?: (parts: readonly string[]) => Promise<number>;
}

/**
 * Removes a job while it is dead, atomically: BullMQ's own script, as it is, behind a look at the failed ones.
 *
 * @returns whether it was removed; not when somebody put it back or removed it meanwhile
 */
export async function removeDead(queue: Queue, client: RedisClient, jobId: string): Promise<boolean> {
  const commands = client as unknown as Commands;
  if (!(REMOVE_DEAD in client)) {
    // The name ends with the version of BullMQ.
    const name = Object.keys(commands.scriptsSet).find((defined) => defined.startsWith(REMOVE));
    const base = name === undefined ? undefined : commands.scriptsSet[name];
    if (base === undefined) throw new Error(`BullMQ has not defined the command ${REMOVE}`);
    const { lua, numberOfKeys } = base;
    const guard = `if not redis.call('ZSCORE', KEYS[${numberOfKeys + 1}], ARGV[1]) then return ${ALIVE} end`;
    client.defineCommand(REMOVE_DEAD, { numberOfKeys: numberOfKeys + 1, lua: `${guard}\n${lua}` });
  }
  const keys = [queue.toKey(jobId), queue.toKey('repeat'), queue.toKey('failed')];
  const reply = await commands[REMOVE_DEAD]!([...keys, jobId, '1', queue.toKey('')]);
  return reply > 0;
}
