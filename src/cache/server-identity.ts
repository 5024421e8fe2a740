import type { ManagedConnection } from '../redis/index.js';
import type { Bucket } from './cache-key.js';

/**
 * Knows whether the server may have changed since the state of a bucket was compared with it. Each
 * connection that becomes ready, and each change of a Cluster's nodes, begins a new epoch; what was
 * compared in an earlier one has to be compared again before it is believed.
 */
export class ServerIdentity {
  private current = 0;

  constructor(link: ManagedConnection) {
    const next = (): void => void (this.current += 1);
    link.client.on('ready', next);
    if (link.client.isCluster) for (const event of ['+node', '-node']) link.client.on(event, next);
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
