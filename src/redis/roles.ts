import type { ConnectionRole, LimitsByRole } from '../config/index.js';

export type { ConnectionRole } from '../config/index.js';

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
   * takes the connection's own setting.
   */
  readonly socketTimeoutMs: 'default' | number;
  /** Whether commands block on purpose. The silence then counts from the end of the block they asked for. */
  readonly blocks?: boolean;
  /** Protocol version; 2 where RESP3 push frames are not delivered by the client. */
  readonly protocol?: 2;
}

const FAIL_FAST: RoleSettings = Object.freeze({
  maxRetriesPerRequest: 0,
  commandTimeout: true,
  socketTimeoutMs: 'default',
});

const BLOCKING: RoleSettings = Object.freeze({
  maxRetriesPerRequest: null,
  commandTimeout: false,
  socketTimeoutMs: 3_000,
  blocks: true,
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

/** Longest wait between two attempts to connect, in milliseconds. */
const RECONNECT_DELAY_MS = 1_000;

/** Limits of one role in milliseconds; `undefined`: no such limit. */
export interface ResolvedLimits {
  readonly connectTimeoutMs: number;
  readonly commandTimeoutMs: number | undefined;
  readonly socketTimeoutMs: number;
  readonly reconnectDelayMs: number;
}

/** The limits of a role: what the application set for it, else what the role says, else the connection. */
export function limitsOf(
  role: ConnectionRole,
  connection: {
    connectTimeoutMs: number;
    commandTimeoutMs: number;
    socketTimeoutMs: number;
    roles?: LimitsByRole;
  },
): ResolvedLimits {
  const settings = ROLE_SETTINGS[role];
  const own = connection.roles?.[role] ?? {};
  const socketMs =
    settings.socketTimeoutMs === 'default' ? connection.socketTimeoutMs : settings.socketTimeoutMs;
  return {
    connectTimeoutMs: own.connectTimeoutMs ?? connection.connectTimeoutMs,
    commandTimeoutMs: settings.commandTimeout
      ? (own.commandTimeoutMs ?? connection.commandTimeoutMs)
      : undefined,
    socketTimeoutMs: own.socketTimeoutMs ?? socketMs,
    reconnectDelayMs: own.reconnectDelayMs ?? RECONNECT_DELAY_MS,
  };
}
