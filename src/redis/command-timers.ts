import { Redis } from 'ioredis';
import type { RedisClient } from './client-factory.js';
import type { ManagedConnection } from './managed-connection.js';

/**
 * Spares calls of the executor the timer that the client starts and stops for every command: the deadline
 * of the call ends no later, and costs nothing of the kind. That timer is about 1 us of the client's work
 * per command, a sixth of what a read costs in all.
 *
 * The client reads its `commandTimeout` when it takes a command, and it takes those of a call before
 * `issue` returns. So the option is away only while nobody else can send anything: commands of the
 * application through the raw client, and those a call sends after its first answer, keep their timer.
 * What is left without one is ended by the socket timeout.
 */
export class CommandTimers {
  /** Options of a client whose timers can be left out: ours, with a socket timeout, and no Cluster. */
  private readonly options: { commandTimeout?: number | undefined } | undefined;
  private readonly client: RedisClient;

  constructor({ client, owned }: ManagedConnection) {
    this.client = client;
    if (owned && client instanceof Redis && client.options.socketTimeout !== undefined) {
      this.options = client.options;
    }
  }

  /** Sends the commands of a call that ends after `deadlineMs` at the latest. */
  issue<T>(call: (client: RedisClient) => Promise<T>, deadlineMs: number): Promise<T> {
    const { options, client } = this;
    const timeoutMs = options?.commandTimeout;
    if (options === undefined || timeoutMs === undefined || deadlineMs > timeoutMs) return call(client);
    options.commandTimeout = undefined;
    try {
      return call(client);
    } finally {
      options.commandTimeout = timeoutMs;
    }
  }
}
