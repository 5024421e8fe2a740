import { ConfigurationError } from '../common/index.js';
import type { ManagedConnection } from './managed-connection.js';
import type { SubscriptionFaults } from './subscriber-faults.js';
import type { TrackedServers } from './tracked-servers.js';
import { TrackingLine } from './tracking-line.js';

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
  /** Whose changes are heard of. */
  servers: TrackedServers;
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
 * without a word is noticed within 1.8 s, so that is the longest a copy can be stale.
 *
 * In a Cluster there is one connection per master, and it is armed while all of them are: a failover
 * disarms it, and it drops everything when the new master tells of its changes.
 *
 * @see https://redis.io/docs/latest/develop/reference/client-side-caching/ ("broadcasting mode")
 */
export class TrackingConnection {
  private readonly listeners: Listeners = { armed: new Set(), disarmed: new Set(), invalidate: new Set() };
  private readonly lines = new Map<ManagedConnection, TrackingLine>();
  /** Of lines that are no longer. */
  private pastTimeouts = 0;
  private opened = false;
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
    const { armed, arms, pastTimeouts } = this;
    const timeouts = [...this.lines.values()].reduce((sum, line) => sum + line.timeouts, pastTimeouts);
    return { isArmed: armed, arms, heartbeatTimeouts: timeouts };
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

  /** Ends the heartbeats and disarms; the connections themselves are closed by the registry. @internal */
  close(): void {
    this.init.servers.stop();
    for (const line of this.lines.values()) line.stop();
    this.disarm();
    this.closed = true;
  }

  private open(): void {
    if (this.opened || this.closed) return;
    this.opened = true;
    this.init.servers.follow(
      (links) => this.adopt(links),
      () => this.armed,
    );
  }

  /** Other servers hold the keys from now on: what the new ones tell is heard once they are armed. */
  private adopt(links: readonly ManagedConnection[]): void {
    if (this.closed) return;
    this.disarm();
    for (const [link, line] of this.lines) {
      if (links.includes(link)) continue;
      line.stop();
      this.pastTimeouts += line.timeouts;
      this.lines.delete(link);
    }
    for (const link of links) if (!this.lines.has(link)) this.lines.set(link, this.follow(link));
    this.armWhenAllAre();
  }

  private follow(link: ManagedConnection): TrackingLine {
    const { prefixes, faults } = this.init;
    return new TrackingLine({
      link,
      prefixes,
      faults,
      onArmed: () => this.armWhenAllAre(),
      onDisarmed: () => this.disarm(),
      onInvalidation: (keys) => {
        if (this.armed) this.emit('invalidate', keys);
      },
    });
  }

  private armWhenAllAre(): void {
    if (this.armed || this.closed || ![...this.lines.values()].every(({ isArmed }) => isArmed)) return;
    this.armed = true;
    this.arms += 1;
    this.emit('invalidate', null);
    this.emit('armed', undefined);
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
