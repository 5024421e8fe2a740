import type { Cluster } from 'ioredis';
import type { HostPort } from '../config/index.js';
import type { ManagedConnection } from './managed-connection.js';

/** How often the masters of a Cluster are looked up, in milliseconds: while all is well, and while not. */
const LOOK_EVERY_MS = 2000;
const LOOK_AGAIN_MS = 250;

/** The connections that hear of every change of a key, wherever it is. */
export interface TrackedServers {
  /** Calls `onChange` with them once they are known, and with all of them whenever they are others. */
  follow(onChange: (links: readonly ManagedConnection[]) => void, isArmed: () => boolean): void;
  /** Ends it; the connections are closed by the registry. */
  stop(): void;
}

/** A single server, or the primary behind Sentinels: one connection, whoever answers it. */
export class TrackedServer implements TrackedServers {
  constructor(private readonly open: () => ManagedConnection) {}

  follow(onChange: (links: readonly ManagedConnection[]) => void): void {
    onChange([this.open()]);
  }

  stop(): void {}
}

/** The part of a connection group that {@link TrackedMasters} needs. */
export interface TrackedCluster {
  /** The connection whose client knows the Cluster. */
  command(): ManagedConnection;
  /** Opens a connection of role `tracking` to one node. */
  openNode(node: HostPort): ManagedConnection;
  /** Closes it for good. */
  closeNode(link: ManagedConnection): void;
}

/**
 * The masters of a Cluster: each tells only of the keys it holds. The Cluster client learns of a failover
 * when a command is redirected, or by chance within 30 s; copies in memory send no commands, so the
 * masters are asked for every 2 s, and several times a second while one is missing. A slot that moves
 * between masters needs nothing: its keys are reported as they leave, and by their new master from then on.
 */
export class TrackedMasters implements TrackedServers {
  private readonly links = new Map<string, ManagedConnection>();
  private cluster: Cluster | undefined;
  private timer: NodeJS.Timeout | undefined;
  private lookedAtMs = performance.now();
  private onChange: (links: readonly ManagedConnection[]) => void = () => undefined;
  private isArmed: () => boolean = () => true;

  constructor(private readonly group: TrackedCluster) {}

  follow(onChange: (links: readonly ManagedConnection[]) => void, isArmed: () => boolean): void {
    this.onChange = onChange;
    this.isArmed = isArmed;
    const command = this.group.command().open();
    const cluster = command.client as Cluster;
    this.cluster = cluster;
    cluster.on('refresh', this.onRefresh);
    // Until it is ready the client takes the configured nodes for masters.
    if (command.isReady) this.onRefresh();
    this.timer = setInterval(() => this.look(), LOOK_AGAIN_MS).unref();
  }

  stop(): void {
    clearInterval(this.timer);
    this.cluster?.off('refresh', this.onRefresh);
  }

  private look(): void {
    const nowMs = performance.now();
    if (this.isArmed() && nowMs - this.lookedAtMs < LOOK_EVERY_MS) return;
    this.lookedAtMs = nowMs;
    // A failure is tried again with the next look.
    if (this.cluster?.status === 'ready') this.cluster.refreshSlotsCache(() => undefined);
  }

  private readonly onRefresh = (): void => {
    const masters = new Map(
      (this.cluster?.nodes('master') ?? []).map(({ options: { host = '', port = 0 } }) => [
        `${host}:${port}`,
        { host, port },
      ]),
    );
    const gone = [...this.links].filter(([name]) => !masters.has(name));
    const added = [...masters].filter(([name]) => !this.links.has(name));
    if (masters.size === 0 || gone.length + added.length === 0) return;
    for (const [name] of gone) this.links.delete(name);
    for (const [name, master] of added) this.links.set(name, this.group.openNode(master));
    this.onChange([...this.links.values()]);
    for (const [, link] of gone) this.group.closeNode(link);
  };
}
