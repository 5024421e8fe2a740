import { Cluster, Redis } from 'ioredis';
import type { RedisClient } from './client-factory.js';
import type { ManagedConnection } from './managed-connection.js';
import { patientView } from './patient-client.js';

/**
 * Spares calls of the executor the timer that the client starts and stops for every command: the deadline
 * of the call governs, shorter or longer. That timer is about 1 us of the client's work per command, a sixth
 * of what a read costs in all.
 *
 * The client reads its `commandTimeout` when it takes a command, and it takes those of a call before
 * `issue` returns. So the option is away only while nobody else can send anything: commands of the
 * application through the raw client, and those a call sends after its first answer, keep their timer. A
 * call that may take longer gets a view of the client instead, on which no command has one.
 * What is left without one is ended by the socket timeout.
 */
export class CommandTimers {
  /** Where the client reads its timeout; a client that may be silent for ever keeps its timers. */
  private readonly options: { commandTimeout?: number | undefined } | undefined;
  private readonly client: RedisClient;
  private view: RedisClient | undefined;

  constructor({ client, owned }: ManagedConnection) {
    this.client = client;
    const options = client instanceof Cluster ? client.options.redisOptions : client.options;
    if (owned && options?.socketTimeout !== undefined) this.options = options;
  }

  /** The client for commands that belong to calls with this deadline, whenever they are sent. */
  clientFor(deadlineMs: number): RedisClient {
    const timeoutMs = this.options?.commandTimeout;
    if (timeoutMs === undefined || deadlineMs <= timeoutMs) return this.client;
    return (this.view ??= patientView(this.client));
  }

  /** Sends the commands of a call that ends after `deadlineMs` at the latest. */
  issue<T>(call: (client: RedisClient) => Promise<T>, deadlineMs: number): Promise<T> {
    const { options, client } = this;
    const timeoutMs = options?.commandTimeout;
    if (options === undefined || timeoutMs === undefined) return call(client);
    if (deadlineMs > timeoutMs) return call(this.clientFor(deadlineMs));
    // The nodes of a Cluster have options of their own.
    if (!(client instanceof Redis)) return call(client);
    options.commandTimeout = undefined;
    try {
      return call(client);
    } finally {
      options.commandTimeout = timeoutMs;
    }
  }
}
