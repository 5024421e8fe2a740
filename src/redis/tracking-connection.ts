import type { Redis } from 'ioredis';
import { ConfigurationError } from '../common/index.js';
import { toCallError } from './error-mapping.js';
import { Heartbeat } from './heartbeat.js';
import type { ManagedConnection } from './managed-connection.js';
import { RedisCommandError } from './redis.errors.js';
import { takeOverSubscriptions } from './subscriber-client.js';
import type { SubscriptionFaults } from './subscriber-faults.js';

/** Channel on which the server sends invalidations to clients that speak RESP2. */
const INVALIDATIONS = '__redis__:invalidate';

/** What listeners of a {@link TrackingConnection} are called with. */
export interface TrackingEvents {
  /** Invalidations arrive from now on. What is kept locally was dropped just before. */
  armed: undefined;
  /** Invalidations may be missing from now on: serve nothing that is kept locally. */
  disarmed: undefined;
  /** Drop these keys; `null`: drop everything. */
  invalidate: readonly Buffer[] | null;
}

/** Counters of a {@link TrackingConnection}; safe to print. */
export interface TrackingSnapshot {
  /** Whether invalidations arrive now. */
  readonly isArmed: boolean;
  /** How often it was armed. */
  readonly arms: number;
  /** Sockets given up because a PING got no answer. */
  readonly heartbeatTimeouts: number;
}

/** What a {@link TrackingConnection} is built from. @internal */
export interface TrackingConnectionInit {
  connection: string;
  /** Opens the connection of role `tracking`. */
  open: () => ManagedConnection;
  /** Start of the keys to be told about. */
  prefixes: readonly string[];
  faults: SubscriptionFaults;
}

type Listeners = { [Event in keyof TrackingEvents]: Set<(value: TrackingEvents[Event]) => unknown> };

/**
 * Tells which keys under some prefixes have changed, so that copies in this process can be dropped. The
 * server sends every change to one connection, whoever made it, this process included.
 *
 * It arms itself each time the connection is ready, and drops everything first: changes in between
 * went unnoticed. Until `disarmed` a copy is late by the way of one message; a peer that vanishes
 * without a word is noticed within 2 s, so that is the longest a copy can be stale.
 *
 * @see https://redis.io/docs/latest/develop/reference/client-side-caching/ ("broadcasting mode")
 */
export class TrackingConnection {
  private readonly listeners: Listeners = { armed: new Set(), disarmed: new Set(), invalidate: new Set() };
  private client: Redis | undefined;
  private heartbeat: Heartbeat | undefined;
  private epoch = 0;
  private arms = 0;
  private armed = false;
  private closed = false;

  /**
   * @throws {ConfigurationError} when one prefix starts with another; the server refuses that
   * @internal
   */
  constructor(private readonly init: TrackingConnectionInit) {
    assertDistinct(init.prefixes);
  }

  /** Whether every change is heard of. */
  get isArmed(): boolean {
    return this.armed;
  }

  /** Prefixes it listens to. */
  get prefixes(): readonly string[] {
    return this.init.prefixes;
  }

  /** Counters since the start. */
  snapshot(): TrackingSnapshot {
    const { armed, arms, heartbeat } = this;
    return { isArmed: armed, arms, heartbeatTimeouts: heartbeat?.timeouts ?? 0 };
  }

  /**
   * Listens to an event; opens the connection with the first listener. Errors of the listener are
   * logged and reach nobody else.
   *
   * @returns a function that takes the listener back
   */
  on<Event extends keyof TrackingEvents>(
    event: Event,
    listener: (value: TrackingEvents[Event]) => unknown,
  ): () => void {
    const listeners = this.listeners[event];
    listeners.add(listener);
    this.open();
    return () => void listeners.delete(listener);
  }

  /** Ends the heartbeat and disarms; the connection itself is closed by the registry. @internal */
  close(): void {
    this.heartbeat?.stop();
    this.disarm();
    this.closed = true;
  }

  private open(): void {
    if (this.client || this.closed) return;
    const { init } = this;
    const client = takeOverSubscriptions(init.open().client, init.connection);
    this.client = client;
    this.heartbeat = new Heartbeat(client);
    client.on('messageBuffer', (_channel: Buffer, keys: unknown) => this.onInvalidation(keys));
    client.on('ready', () => void this.arm(client));
    client.on('close', () => {
      this.epoch += 1;
      this.disarm();
    });
    if (client.status === 'ready') void this.arm(client);
  }

  /** A RESP2 connection that has subscribed takes no other command, so tracking comes first. */
  private async arm(client: Redis): Promise<void> {
    const { epoch } = this;
    const prefixes = this.init.prefixes.flatMap((prefix) => ['PREFIX', prefix]);
    try {
      const id = await client.client('ID');
      await client.call('CLIENT', 'TRACKING', 'ON', 'REDIRECT', String(id), 'BCAST', ...prefixes);
      await client.subscribe(INVALIDATIONS);
    } catch (error) {
      if (epoch === this.epoch) this.failed(client, error);
      return;
    }
    if (epoch !== this.epoch || this.closed) return;
    this.armed = true;
    this.arms += 1;
    this.emit('invalidate', null);
    this.emit('armed', undefined);
  }

  /** What the server refuses it refuses again; anything else is tried again on a new socket. */
  private failed(client: Redis, cause: unknown): void {
    const { connection, faults } = this.init;
    const error = toCallError(cause, { connection, operation: 'tracking.arm', deadlineMs: 0 });
    if (error instanceof RedisCommandError) faults.report('client-side tracking', error);
    else client.stream?.destroy();
  }

  private onInvalidation(keys: unknown): void {
    if (this.armed) this.emit('invalidate', Array.isArray(keys) ? (keys as Buffer[]) : null);
  }

  private disarm(): void {
    if (!this.armed) return;
    this.armed = false;
    this.emit('disarmed', undefined);
  }

  private emit<Event extends keyof TrackingEvents>(event: Event, value: TrackingEvents[Event]): void {
    if (this.closed) return;
    const { faults } = this.init;
    for (const listener of this.listeners[event]) {
      faults.isolate(`tracking listener (${event})`, listener, value);
    }
  }
}

function assertDistinct(prefixes: readonly string[]): void {
  if (prefixes.length === 0) throw new ConfigurationError('Tracking needs at least one key prefix');
  for (const prefix of prefixes) {
    const longer = prefixes.find((other) => other !== prefix && other.startsWith(prefix));
    if (longer !== undefined) {
      throw new ConfigurationError(`Tracking prefixes overlap: "${longer}" starts with "${prefix}"`);
    }
  }
  if (new Set(prefixes).size < prefixes.length)
    throw new ConfigurationError('A tracking prefix is given twice');
}
