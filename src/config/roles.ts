/**
 * What a connection is for. One connection serves one role, because the roles need opposite
 * settings: a request must fail fast, a worker must wait for ever.
 *
 * - `command`: the shared client and every capability
 * - `subscriber`: pub/sub
 * - `tracking`: client-side caching invalidations
 * - `producer`: queue adds from requests
 * - `worker`: BullMQ workers and events
 * - `reader`: blocking stream reads
 * - `transaction`: WATCH / MULTI / EXEC
 */
export type ConnectionRole =
  'command' | 'subscriber' | 'tracking' | 'producer' | 'worker' | 'reader' | 'transaction';

/** Limits that an application set for one role; what is missing is as the role has it. */
export interface RoleLimits {
  readonly connectTimeoutMs?: number;
  readonly commandTimeoutMs?: number;
  readonly socketTimeoutMs?: number;
  readonly reconnectDelayMs?: number;
}
