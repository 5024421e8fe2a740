import { isRednestError } from '../common/index.js';
import type { ConnectionRegistry, RedisClient } from '../redis/index.js';
import { trackedPrefix } from './cache-key.js';
import type { CacheCoherence } from './cache.options.js';
import type { Flights } from './flights.js';
import type { MemoryTier } from './memory-tier.js';

/** What a {@link Coherence} is built from. */
export interface CoherenceInit {
  readonly mode: CacheCoherence;
  readonly connection: string;
  readonly registry: ConnectionRegistry;
  readonly memory: MemoryTier | undefined;
  readonly flights: Flights;
}

const PROBE_MS = 1_000;

/**
 * Tells the memory tier what changed, by the means the server allows, and whether changes are heard of at
 * all. Started with the first call that goes to the server.
 */
export class Coherence {
  private means: Exclude<CacheCoherence, 'auto'> | undefined;
  private started = false;
  private readonly prefix: string;

  constructor(private readonly init: CoherenceInit) {
    this.prefix = init.registry.configuration.keyPrefix;
    if (init.mode !== 'auto') this.means = init.mode;
  }

  /** Channel on which writers tell of changes; empty when the server does that by itself. */
  get tellChannel(): string {
    return this.means === 'tracking' || this.means === 'none' ? '' : `${this.prefix}:cache-changes`;
  }

  /** Finds the means, once, and begins to listen. A server that does not answer is asked again next time. */
  async start(): Promise<void> {
    if (this.started) return;
    if (this.means === undefined) this.means = await this.probe();
    if (this.started || this.means === undefined) return;
    this.started = true;
    if (this.init.memory) this.listen(this.init.memory, this.means);
  }

  private async probe(): Promise<'tracking' | 'pubsub' | undefined> {
    const executor = this.init.registry.executor(this.init.connection);
    const ask = (client: RedisClient): Promise<unknown> => client.call('CLIENT', 'TRACKINGINFO');
    try {
      await executor.run('cache.coherence', ask, { deadlineMs: PROBE_MS, idempotent: true });
      return 'tracking';
    } catch (error) {
      return isRednestError(error, 'ERR_REDIS_COMMAND') ? 'pubsub' : undefined;
    }
  }

  private listen(memory: MemoryTier, means: Exclude<CacheCoherence, 'auto'>): void {
    if (means === 'tracking') this.track(memory);
    else if (means === 'pubsub') this.subscribe(memory);
    else memory.arm();
  }

  private track(memory: MemoryTier): void {
    const { registry, connection } = this.init;
    const tracking = registry.tracking(connection, [trackedPrefix(this.prefix)]);
    tracking.on('invalidate', (keys) => {
      if (keys === null) this.everythingChanged(memory);
      else for (const key of keys) this.changed(memory, key.toString('utf8'));
    });
    tracking.on('armed', () => memory.arm());
    tracking.on('disarmed', () => memory.disarm());
    if (tracking.isArmed) memory.arm();
  }

  private subscribe(memory: MemoryTier): void {
    const { registry, connection } = this.init;
    const subscriber = registry.subscriber(connection);
    subscriber.attach(this.tellChannel, ({ text }) => this.changed(memory, text), {
      onActive: () => memory.arm(),
    });
    registry.connection(connection, 'subscriber').client.on('close', () => memory.disarm());
  }

  private changed(memory: MemoryTier, key: string): void {
    const { flights } = this.init;
    const kind = kindOf(key);
    if (kind === 'entry') {
      flights.void(key);
      memory.changed(key);
    } else {
      flights.voidAll();
      memory.signalled(key);
    }
  }

  private everythingChanged(memory: MemoryTier): void {
    this.init.flights.voidAll();
    memory.suspectAll();
  }
}

/** What stands after the hash tag: `entry:<key>`, or a signal. */
function kindOf(key: string): 'entry' | 'signal' {
  return key.startsWith('entry:', key.indexOf('}:') + 2) ? 'entry' : 'signal';
}
