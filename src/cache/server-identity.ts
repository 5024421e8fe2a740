import type { ManagedConnection } from '../redis/index.js';
import type { Bucket } from './cache-key.js';

/**
 * Knows whether the server may have changed since the state of a bucket was compared with it. The end of
 * a connection, and each look at the nodes of a Cluster, begins a new epoch; what was compared in an
 * earlier one has to be compared again before it is believed.
 *
 * It is the end that counts, not the beginning of the next connection: calls that wait for that one are
 * sent before anybody else hears of it.
 */
export class ServerIdentity {
  private current = 0;

  constructor(link: ManagedConnection) {
    const next = (): void => void (this.current += 1);
    link.client.on('close', next);
    if (link.client.isCluster) for (const event of CLUSTER_EVENTS) link.client.on(event, next);
  }

  /** The present epoch. */
  get epoch(): number {
    return this.current;
  }

  /** Whether the bucket was compared in this epoch. */
  knows(bucket: Bucket): boolean {
    return bucket.adoptedIn === this.current;
  }
}

/** A replica may become a master without a connection that ends. */
const CLUSTER_EVENTS = ['+node', '-node', 'refresh'] as const;
