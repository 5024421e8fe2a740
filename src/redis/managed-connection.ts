import {
  describeConnection,
  describeTarget,
  type ConnectionTarget,
  type ResolvedConnection,
} from '../config/index.js';
import type { RedisClient } from './client-factory.js';
import type { ConnectionRole } from './roles.js';

/** State of a connection, in the words of the client's events. */
export type ConnectionState =
  'idle' | 'connecting' | 'connect' | 'ready' | 'error' | 'close' | 'reconnecting' | 'end';

/** What is known about a connection; safe to print. */
export interface ConnectionSnapshot {
  /** Configured name of the server. */
  readonly connection: string;
  /** What the connection is for. */
  readonly role: ConnectionRole;
  /** Where it goes, without credentials. */
  readonly target: string;
  /** State entered last. */
  readonly state: ConnectionState;
  /** Milliseconds in this state. */
  readonly stateForMs: number;
  /** Code of the last error since it was last ready. */
  readonly lastErrorCode?: string;
  /** Whether Rednest closes it; `false` for a client handed in by the application. */
  readonly owned: boolean;
}

/** Constructor arguments of {@link ManagedConnection}. */
export interface ManagedConnectionInit {
  connection: string;
  role: ConnectionRole;
  client: RedisClient;
  owned: boolean;
  /** Absent for a client handed in by the application. */
  target?: ResolvedConnection;
}

/**
 * One client with its state: knows when it is ready and since when it is not, lets callers wait for
 * readiness without a listener each, and ends within a deadline whatever the server does.
 */
export class ManagedConnection {
  /** Configured name of the server. */
  readonly connection: string;
  /** What the connection is for; decides its timeouts and retries. */
  readonly role: ConnectionRole;
  /** The ioredis client itself. */
  readonly client: RedisClient;
  /** Whether Rednest closes it; `false` for a client handed in by the application. */
  readonly owned: boolean;
  /** Where it goes, without credentials. */
  readonly target: string;
  /** Where it leads; absent for a client handed in by the application. */
  readonly address: ConnectionTarget | undefined;
  /** Answers received by calls of the executor; shows whether a silent server is there at all. @internal */
  answers = 0;
  private state: ConnectionState = 'idle';
  private stateSinceMs = performance.now();
  private downSinceMs = performance.now();
  private lastError: Error | undefined;
  private readonly waiters = new Set<() => void>();
  private closing: Promise<void> | undefined;

  constructor(init: ManagedConnectionInit) {
    this.connection = init.connection;
    this.role = init.role;
    this.client = init.client;
    this.owned = init.owned;
    this.target = init.target ? describeConnection(init.target) : 'client of the application';
    this.address = init.target && describeTarget(init.target);
    this.observe();
  }

  /** Whether commands can be written now. */
  get isReady(): boolean {
    return this.client.status === 'ready';
  }

  /** Whether Rednest is ending it, or has ended it. */
  get isClosing(): boolean {
    return this.closing !== undefined;
  }

  /** Milliseconds since the connection was last ready, or since it was opened; 0 when ready or not opened. */
  get downForMs(): number {
    // The client changes its status one tick before it emits the event that moves `state`.
    return this.isReady || this.state === 'ready' || this.state === 'idle'
      ? 0
      : performance.now() - this.downSinceMs;
  }

  /** Callers waiting for readiness. */
  get waiting(): number {
    return this.waiters.size;
  }

  /** Last error since the connection was ready. Not cleaned: never print it. */
  get lastFailure(): Error | undefined {
    return this.lastError;
  }

  /** Starts connecting; failures show as events and are retried by the client. */
  open(): this {
    if (this.client.status === 'wait') {
      this.enter('connecting');
      this.client.connect().catch(() => undefined);
    }
    return this;
  }

  /** Ends the wait before the next attempt to reconnect, if there is one. */
  hurry(): void {
    if (this.closing || this.client.status !== 'reconnecting') return;
    // The client would run the attempt it has scheduled as well, also after it was closed.
    const waiting = this.client as unknown as { reconnectTimeout?: NodeJS.Timeout | null };
    if (!waiting.reconnectTimeout) return;
    clearTimeout(waiting.reconnectTimeout);
    waiting.reconnectTimeout = null;
    this.client.connect().catch(() => undefined);
  }

  /**
   * Calls `callback` once when the connection is ready. Opens the connection when nobody has.
   *
   * @returns a function that takes the callback back
   */
  onceReady(callback: () => void): () => void {
    this.waiters.add(callback);
    this.open();
    return () => this.waiters.delete(callback);
  }

  /** Current state as plain data. */
  snapshot(): ConnectionSnapshot {
    const { connection, role, target, owned } = this;
    const code = this.lastError && errorCode(this.lastError);
    return {
      connection,
      role,
      target,
      owned,
      state: this.isReady ? 'ready' : this.state,
      stateForMs: Math.round(performance.now() - this.stateSinceMs),
      ...(code === undefined ? {} : { lastErrorCode: code }),
    };
  }

  /**
   * Ends the connection: `quit` while it is ready, raced with `deadlineMs`, then disconnects.
   * A client handed in by the application is left alone. Idempotent; never rejects.
   */
  close(deadlineMs: number): Promise<void> {
    return (this.closing ??= this.owned ? this.end(deadlineMs) : Promise.resolve());
  }

  private async end(deadlineMs: number): Promise<void> {
    const { client } = this;
    const ended = new Promise<void>((resolve) => client.once('end', () => resolve()));
    if (this.isReady) await settleWithin(client.quit(), deadlineMs);
    const waitsToReconnect = client.status === 'reconnecting';
    if (client.status !== 'end') client.disconnect();
    flushPending(client);
    // A client that waited to reconnect has no socket and never emits `end`.
    if (!waitsToReconnect && client.status !== 'end') await settleWithin(ended, SOCKET_END_MS);
    this.enter('end');
  }

  private observe(): void {
    const { client } = this;
    if (this.isReady) this.enter('ready');
    client.on('error', (error: Error) => {
      this.lastError = error;
      if (!this.isReady) this.enter('error');
    });
    client.on('connect', () => this.enter('connect'));
    client.on('ready', () => this.becomeReady());
    client.on('close', () => this.enter('close'));
    client.on('reconnecting', () => this.enter('reconnecting'));
    client.on('end', () => this.enter('end'));
  }

  private becomeReady(): void {
    this.lastError = undefined;
    this.enter('ready');
    const waiters = [...this.waiters];
    this.waiters.clear();
    for (const wake of waiters) wake();
  }

  private enter(state: ConnectionState): void {
    // Events of the socket still arrive after `close` has ended the connection.
    if (this.state === state || (this.closing && this.state === 'end')) return;
    const now = performance.now();
    if (this.state === 'ready' || this.state === 'idle') this.downSinceMs = now;
    this.state = state;
    this.stateSinceMs = now;
  }
}

/** How long a socket may take to close after it was told to, in milliseconds. */
const SOCKET_END_MS = 500;

/** Codes for errors the client throws without one. */
const CODES: readonly (readonly [start: string, code: string])[] = [
  ['Socket timeout', 'SOCKET_TIMEOUT'],
  ['Command timed out', 'COMMAND_TIMEOUT'],
  ['Connection is closed', 'CONNECTION_CLOSED'],
];

/** Code of a client error: its `code`, else the first word of a server reply, else its name. */
export function errorCode(error: Error & { code?: unknown }): string {
  if (typeof error.code === 'string' && error.code !== '') return error.code;
  const known = CODES.find(([start]) => error.message.startsWith(start));
  return known?.[1] ?? /^-?([A-Z]{3,})\b/.exec(error.message)?.[1] ?? error.name;
}

async function settleWithin(promise: Promise<unknown>, deadlineMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, deadlineMs);
  });
  await Promise.race([
    promise.then(
      () => undefined,
      () => undefined,
    ),
    deadline,
  ]);
  clearTimeout(timer);
}

/** A disconnect while the client waits to reconnect leaves its queued commands pending for ever. */
function flushPending(client: RedisClient): void {
  const flush = (client as unknown as { flushQueue?: (error: Error) => void }).flushQueue;
  flush?.call(client, new Error('Connection is closed.'));
}
