import { defineKeyspace } from '../redis/index.js';

/** Deduplication claims of {@link QueueService.notifyOnce}. */
export const ONCE_KEYSPACE = defineKeyspace({
  capability: 'queue',
  name: 'once',
  routing: 'tenantId',
  parts: ['type', 'dedupeKey'],
  ttl: '1d',
  value: 'hash',
  description: 'Which job a notification became, so that it is sent once per tenant, type and key',
});

/**
 * Prefix BullMQ puts before the keys of a queue: `<prefix>:queue:{<name>}`. The braces keep all keys
 * of one queue in one slot of a Cluster.
 */
export function bullPrefix(keyPrefix: string, queue: string): string {
  return `${keyPrefix}:queue:{${queue}}`;
}
