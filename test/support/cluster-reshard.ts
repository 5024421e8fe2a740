import type { Redis } from 'ioredis';
import { converse } from './topologies-node.js';

/** A node as source or target of slots. */
export interface SlotOwner {
  readonly id: string;
  readonly port: number;
}

/** What {@link migrateSlots} moves. */
export interface SlotMigration {
  readonly source: SlotOwner;
  readonly target: SlotOwner;
  /** Masters that only have to be told. */
  readonly others: readonly SlotOwner[];
  readonly slots: readonly number[];
}

/** Slots that are on their way at the same time. */
const BATCH = 100;

/**
 * Moves slots with their keys while clients use them, as `redis-cli --cluster reshard` does.
 *
 * @see https://redis.io/docs/latest/commands/cluster-setslot/
 */
export async function migrateSlots({ source, target, others, slots }: SlotMigration): Promise<void> {
  await converse(source.port, (from) =>
    converse(target.port, async (to) => {
      for (let start = 0; start < slots.length; start += BATCH) {
        const batch = slots.slice(start, start + BATCH);
        // The target first: between the two steps no key may be without an owner.
        await setSlots(to, batch, 'IMPORTING', source.id);
        await setSlots(from, batch, 'MIGRATING', target.id);
        await moveKeys(from, target.port, batch);
        await setSlots(to, batch, 'NODE', target.id);
        await setSlots(from, batch, 'NODE', target.id);
      }
    }),
  );
  for (const { port } of others) await converse(port, (client) => setSlots(client, slots, 'NODE', target.id));
}

async function setSlots(client: Redis, slots: readonly number[], state: string, id: string): Promise<void> {
  const pipeline = client.pipeline();
  for (const slot of slots) pipeline.call('CLUSTER', 'SETSLOT', String(slot), state, id);
  await succeed(pipeline.exec());
}

/** A slot that is migrating takes no new keys, so what is found is all there is. */
async function moveKeys(from: Redis, port: number, slots: readonly number[]): Promise<void> {
  for (;;) {
    const listing = from.pipeline();
    for (const slot of slots) listing.call('CLUSTER', 'GETKEYSINSLOT', String(slot), '100');
    const keys = (await succeed(listing.exec())).flatMap((found) => found as string[]);
    if (keys.length === 0) return;
    // One by one: a command on several keys of a slot fails while they are apart.
    const moving = from.pipeline();
    for (const key of keys) moving.call('MIGRATE', '127.0.0.1', String(port), key, '0', '5000');
    await succeed(moving.exec());
  }
}

async function succeed(running: Promise<[Error | null, unknown][] | null>): Promise<unknown[]> {
  return ((await running) ?? []).map(([error, value]) => {
    if (error) throw error;
    return value;
  });
}
