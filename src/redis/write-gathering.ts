import { Redis } from 'ioredis';
import type { RedisClient } from './client-factory.js';

/**
 * Writes the commands of one turn of the event loop together: one system call for all of them instead of
 * one each, which under load is the largest part of what a command costs this process. Nothing else
 * changes: every command stays one of its own, with its own reply, error and deadline. They leave when all
 * that has come in this turn is handled, such as the requests of many HTTP clients, and before the process
 * waits for anything.
 *
 * A Cluster client has a socket per node and is left as it is.
 */
export class WriteGathering {
  private readonly client: Redis | undefined;
  private held: Redis['stream'] | undefined;

  constructor(client: RedisClient) {
    if (client instanceof Redis) this.client = client;
  }

  /** Call before a command is sent. */
  begin(): void {
    if (this.held || !this.client) return;
    const { stream } = this.client;
    if (!stream?.writable) return;
    this.held = stream;
    stream.cork();
    // The end of a tick comes after every socket that is read, which is once per client; this comes after all of them.
    setImmediate(this.end);
  }

  private readonly end = (): void => {
    const stream = this.held;
    this.held = undefined;
    stream?.uncork();
  };
}
