import {
  RedisCommandError,
  type ConnectionRegistry,
  type RedisClient,
  type WakeUpChannel,
} from '../redis/index.js';
import { bucketPrefix, kindOf, trackedPrefix } from './cache-key.js';
import type { CacheCoherence } from './cache.options.js';
import type { ChangeListener } from './change-listener.js';
import type { Flights } from './flights.js';

/** What a {@link Coherence} is built from. */
export interface CoherenceInit {
  readonly mode: CacheCoherence;
  readonly connection: string;
  readonly registry: ConnectionRegistry;
  /** Who wants to know; nothing is opened for nobody. */
  readonly listeners: readonly ChangeListener[];
  readonly flights: Flights;
  readonly wakeUps: WakeUpChannel;
}

const PROBE_MS = 1_000;

/** How a server begins its answer when it does not know a command, or does not allow it. Others say: not now. */
const REFUSALS = new Set(['ERR', 'NOPERM']);

/**
 * Tells what is kept in the process what changed, by the means the server allows, and whether changes are heard of at
 * all. Started with the first call that goes to the server.
 */
export class Coherence {
  private means: Exclude<CacheCoherence, 'auto'> | undefined;
  private started = false;
  private starting: Promise<void> | undefined;
  private readonly prefix: string;

  constructor(private readonly init: CoherenceInit) {
    this.prefix = init.registry.configuration.keyPrefix;
    if (init.mode !== 'auto') this.means = init.mode;
  }

  /** Channel on which writers tell of changes; empty when the server does that by itself. */
  get tellChannel(): string {
    return this.means === 'tracking' || this.means === 'none' ? '' : `${this.prefix}:cache-changes`;
  }

  /** Whether the means are found. */
  get hasStarted(): boolean {
    return this.started;
  }

  /** Finds the means, once, and begins to listen. A server that does not answer is asked again next time. */
  start(): Promise<void> {
    if (this.started) return Promise.resolve();
    this.starting ??= this.startNow().finally(() => (this.starting = undefined));
    return this.starting;
  }

  private async startNow(): Promise<void> {
    if (this.means === undefined) this.means = await this.probe();
    if (this.means === undefined) return;
    this.started = true;
    if (this.init.listeners.length > 0) this.listen(this.means);
  }

  private async probe(): Promise<'tracking' | 'pubsub' | undefined> {
    const executor = this.init.registry.executor(this.init.connection);
    const ask = (client: RedisClient): Promise<unknown> => client.call('CLIENT', 'TRACKINGINFO');
    try {
      await executor.run('cache.coherence', ask, { deadlineMs: PROBE_MS, idempotent: true });
      return 'tracking';
    } catch (error) {
      return error instanceof RedisCommandError && REFUSALS.has(error.reply) ? 'pubsub' : undefined;
    }
  }

  private listen(means: Exclude<CacheCoherence, 'auto'>): void {
    if (means === 'tracking') this.track();
    else if (means === 'pubsub') this.subscribe();
    else this.arm();
  }

  private track(): void {
    const { registry, connection } = this.init;
    const tracking = registry.tracking(connection, [trackedPrefix(this.prefix)]);
    tracking.on('invalidate', (keys) => {
      if (keys === null) this.everythingChanged();
      else for (const key of keys) this.changed(key.toString('utf8'));
    });
    tracking.on('armed', () => this.arm());
    tracking.on('disarmed', () => this.disarm());
    if (tracking.isArmed) this.arm();
  }

  private subscribe(): void {
    const { registry, connection } = this.init;
    const subscriber = registry.subscriber(connection);
    subscriber.attach(this.tellChannel, ({ text }) => this.changed(text), {
      onActive: () => this.arm(),
    });
    registry.connection(connection, 'subscriber').client.on('close', () => this.disarm());
  }

  private arm(): void {
    for (const listener of this.init.listeners) listener.arm();
  }

  private disarm(): void {
    for (const listener of this.init.listeners) listener.disarm();
  }

  private changed(key: string): void {
    const { flights, listeners, wakeUps } = this.init;
    const isEntry = kindOf(key) === 'entry';
    if (isEntry) flights.void(key);
    else flights.voidUnder(bucketPrefix(key));
    for (const listener of listeners) {
      if (isEntry) listener.changed(key);
      else listener.signalled(key);
    }
    // On a Cluster this comes from the master itself, the wake-up by way of the node that is listened to.
    if (isEntry) wakeUps.wakeHere(key);
  }

  private everythingChanged(): void {
    this.init.flights.voidAll();
    for (const listener of this.init.listeners) listener.suspectAll();
  }
}
