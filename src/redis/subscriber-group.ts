import { ConfigurationError } from '../common/index.js';
import type { HostPort } from '../config/index.js';
import type { CircuitBreaker } from './circuit-breaker.js';
import type { ConnectionLogger, LogFormat } from './connection-log.js';
import type { DeadlineQueue } from './deadline-queue.js';
import type { RedisExecutor } from './executor.js';
import type { ManagedConnection } from './managed-connection.js';
import type { ConnectionRole } from './roles.js';
import { SubscriptionFaults } from './subscriber-faults.js';
import { Subscriber } from './subscriber.js';
import { TrackedMasters, TrackedServer, type TrackedServers } from './tracked-servers.js';
import { TrackingConnection } from './tracking-connection.js';
import { WakeUpChannel } from './wake-up-channel.js';

/** The part of a connection group that {@link ListeningConnections} needs. */
export interface ListeningGroup {
  readonly name: string;
  readonly breaker: CircuitBreaker;
  /** Whether its keys are spread over several servers. */
  readonly isCluster: boolean;
  open(role: ConnectionRole): ManagedConnection;
  openNode(node: HostPort): ManagedConnection;
  closeNode(link: ManagedConnection): void;
  executor(role: ConnectionRole): RedisExecutor;
}

/** What listens on one server, each created when first asked for. @internal */
export class ListeningConnections {
  private readonly faults: SubscriptionFaults;
  private readonly wakeUps = new Map<string, WakeUpChannel>();
  private subscribers: Subscriber | undefined;
  private trackers: TrackingConnection | undefined;
  private closed = false;

  constructor(
    private readonly group: ListeningGroup,
    private readonly context: { logger: ConnectionLogger; logFormat: LogFormat; deadlines: DeadlineQueue },
  ) {
    this.faults = new SubscriptionFaults(group.name, context.logger, context.logFormat);
  }

  /** The pub/sub connection; opens with the first subscription. */
  subscriber(): Subscriber {
    if (this.subscribers) return this.subscribers;
    const { group, faults } = this;
    this.subscribers = new Subscriber({
      connection: group.name,
      open: () => group.open('subscriber'),
      deadlines: this.context.deadlines,
      breaker: group.breaker,
      faults,
    });
    if (this.closed) this.subscribers.close();
    return this.subscribers;
  }

  /** The wake-ups under a key prefix. */
  wakeUp(keyPrefix: string): WakeUpChannel {
    const channel = `${keyPrefix}:wake`;
    let wakeUp = this.wakeUps.get(channel);
    if (!wakeUp) {
      const { deadlines } = this.context;
      const executor = (): RedisExecutor => this.group.executor('command');
      wakeUp = new WakeUpChannel({ channel, subscriber: this.subscriber(), executor, deadlines });
      this.wakeUps.set(channel, wakeUp);
      if (this.closed) wakeUp.close();
    }
    return wakeUp;
  }

  /** The invalidations of keys under some prefixes. */
  tracking(prefixes: readonly string[]): TrackingConnection {
    if (!this.trackers) {
      this.trackers = new TrackingConnection({ servers: this.tracked(), prefixes, faults: this.faults });
      if (this.closed) this.trackers.close();
    } else if (this.trackers.prefixes.join('\n') !== prefixes.join('\n')) {
      throw new ConfigurationError(
        `Connection "${this.group.name}" already tracks other prefixes; ask once, with all of them`,
      );
    }
    return this.trackers;
  }

  private tracked(): TrackedServers {
    const { group } = this;
    if (!group.isCluster) return new TrackedServer(() => group.open('tracking'));
    return new TrackedMasters({
      command: () => group.open('command'),
      openNode: (node) => group.openNode(node),
      closeNode: (link) => group.closeNode(link),
    });
  }

  /** Ends everything that waits; the connections are closed by the registry. */
  close(): void {
    this.closed = true;
    for (const wakeUp of this.wakeUps.values()) wakeUp.close();
    this.subscribers?.close();
    this.trackers?.close();
  }
}
