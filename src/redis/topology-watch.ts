import { Cluster } from 'ioredis';
import type { ManagedConnection } from './managed-connection.js';

/** Time between two looks, in milliseconds. */
const EVERY_MS = 250;

/**
 * How long a node may take to draw its map meanwhile. The client asks nodes in random order and waits for
 * each, so one that is frozen delays the look by this; the rest is room for a far connection to open.
 */
const ANSWER_MS = 200;
const CONNECT_SHARE = 0.1;

/** How long after the last failure the looks go on, in milliseconds. */
const CALM_MS = 5_000;

/**
 * Looks for the new master of a shard while calls to a Cluster fail. The Cluster client learns of a
 * failover from the server it still believes in, by a redirection; one that is frozen or gone redirects
 * nothing, and the client's own look-up comes every 30 s.
 */
export class TopologyWatch {
  private timer: NodeJS.Timeout | undefined;
  private untilMs = 0;
  private patienceMs: number | undefined;

  private masters = '';

  /** @param onFailover called when other servers are masters than before */
  constructor(
    private readonly link: ManagedConnection,
    private readonly onFailover: () => void,
  ) {
    if (link.client instanceof Cluster) link.client.on('refresh', () => this.compare());
  }

  /** A call got no answer. Does nothing for a single server. */
  trouble(): void {
    if (!(this.link.client instanceof Cluster)) return;
    this.untilMs = performance.now() + CALM_MS;
    if (this.timer) return;
    this.timer = setInterval(() => this.look(), EVERY_MS).unref();
    this.hurry(this.link.client);
  }

  private compare(): void {
    const { client } = this.link;
    const nodes = client instanceof Cluster ? client.nodes('master') : [];
    const masters = nodes
      .map(({ options }) => `${options.host}:${options.port}`)
      .sort()
      .join();
    const isOther = this.masters !== '' && masters !== this.masters;
    this.masters = masters;
    if (isOther) this.onFailover();
  }

  private look(): void {
    const { client, isClosing } = this.link;
    if (isClosing || client.status === 'end' || performance.now() > this.untilMs) {
      this.rest();
      return;
    }
    // While one look is on its way the client starts no other; a failure is tried again with the next.
    if (client.status === 'ready') (client as Cluster).refreshSlotsCache(() => undefined);
  }

  private hurry({ options }: Cluster): void {
    const { connectTimeout = 0 } = options.redisOptions ?? {};
    this.patienceMs = options.slotsRefreshTimeout;
    options.slotsRefreshTimeout = Math.min(
      this.patienceMs ?? Infinity,
      ANSWER_MS + connectTimeout * CONNECT_SHARE,
    );
  }

  private rest(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    const { client } = this.link;
    if (client instanceof Cluster && this.patienceMs) client.options.slotsRefreshTimeout = this.patienceMs;
  }
}
