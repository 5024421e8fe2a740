import { createRequire } from 'node:module';

/** The client's own slot function; it brings no types. */
const slotOf = createRequire(import.meta.url)('cluster-key-slot') as (key: string) => number;

/** Those keys whose slot is one of `slots`. */
export function keysOfShard(keys: readonly string[], slots: readonly number[]): string[] {
  const owned = new Set(slots);
  return keys.filter((key) => owned.has(slotOf(key)));
}
