import { Redis } from 'ioredis';
import type { RedisClient } from './client-factory.js';

/**
 * Commands that are worth a system call of their own. With all of a turn in one, the server would idle while
 * this process makes them and this process while the server answers; below 16 nothing more is gained.
 */
const PORTION = 16;

/**
 * Writes the commands of one turn of the event loop together: one system call for up to 16 of them instead
 * of one each, which under load is the largest part of what a command costs this process. Nothing else
 * changes: every command stays one of its own, with its own reply, error and deadline. They leave when all
 * that has come in this turn is handled, such as the requests of many HTTP clients, and before the process
 * waits for anything.
 *
 * A Cluster client has a socket per node and is left as it is.
 */
export class WriteGathering {
  private readonly client: Redis | undefined;
  /** Commands since the last portion left, less the one that is about to be sent. */
  private count = 0;
  private held: Redis['stream'] | undefined;

  constructor(client: RedisClient) {
    if (client instanceof Redis) this.client = client;
  }

  /** Call before a command is sent. */
  begin(): void {
    if (this.held) {
      this.release(this.held);
      return;
    }
    if (!this.client) return;
    const { stream } = this.client;
    if (!stream?.writable) return;
    this.held = stream;
    this.count = 0;
    stream.cork();
    // The end of a tick comes after every socket that is read, which is once per client; this comes after all of them.
    setImmediate(this.end);
  }

  /** Lets a portion go: the server need not wait for the rest. */
  private release(stream: Redis['stream']): void {
    this.count += 1;
    if (this.count < PORTION) return;
    this.count = 0;
    stream.uncork();
    stream.cork();
  }

  private readonly end = (): void => {
    const stream = this.held;
    this.held = undefined;
    stream?.uncork();
  };
}
