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

/** Settings that differ between roles. */
export interface RoleSettings {
  /**
   * `0`: a command whose connection broke is reported, never sent again on its own.
   * `null`: wait for the connection for ever (blocking consumers).
   */
  readonly maxRetriesPerRequest: 0 | null;
  /** Whether single commands time out. Off where commands block on purpose. */
  readonly commandTimeout: boolean;
  /**
   * Silence, in milliseconds, after which a socket with pending replies is replaced. `'default'`
   * takes the connection's own setting; blocking roles need more than their longest block.
   */
  readonly socketTimeoutMs: 'default' | number;
  /** Protocol version; 2 where RESP3 push frames are not delivered by the client. */
  readonly protocol?: 2;
}

const FAIL_FAST: RoleSettings = Object.freeze({
  maxRetriesPerRequest: 0,
  commandTimeout: true,
  socketTimeoutMs: 'default',
});

/** Longest block of a BullMQ worker is 10 s; the socket may be silent a little longer. */
const BLOCKING: RoleSettings = Object.freeze({
  maxRetriesPerRequest: null,
  commandTimeout: false,
  socketTimeoutMs: 15_000,
});

const PUSHED: RoleSettings = Object.freeze({
  maxRetriesPerRequest: null,
  commandTimeout: true,
  socketTimeoutMs: 'default',
});

/** Settings of each role. */
export const ROLE_SETTINGS: Readonly<Record<ConnectionRole, RoleSettings>> = Object.freeze({
  command: FAIL_FAST,
  producer: FAIL_FAST,
  transaction: FAIL_FAST,
  worker: BLOCKING,
  reader: BLOCKING,
  subscriber: PUSHED,
  tracking: Object.freeze({ ...PUSHED, protocol: 2 as const }),
});
