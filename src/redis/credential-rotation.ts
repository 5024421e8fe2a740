import { Cluster, type Redis } from 'ioredis';
import type { CredentialProvider, ResolvedConnection } from '../config/index.js';
import type { RedisClient } from './client-factory.js';
import type { ConnectionLogger, LogFormat } from './connection-log.js';
import { CredentialSource } from './credential-source.js';
import { errorCode } from './managed-connection.js';

/** Where a {@link CredentialRotation} reports to. */
export interface RotationContext {
  readonly logger: ConnectionLogger;
  readonly logFormat: LogFormat;
}

/**
 * Keeps every client of one connection logged in while its credentials change: a client reads the
 * login in force whenever it connects, and open sockets log in again when it is renewed.
 *
 * The login reaches a client through accessors on its public `options`, which ioredis reads at each
 * connection attempt. Duplicates made with `duplicate()`, as BullMQ does, are covered in the same way.
 */
export class CredentialRotation {
  private readonly source: CredentialSource;
  private readonly ready = new Set<Redis>();
  /** Version of the login each client connected with. */
  private readonly versions = new WeakMap<Redis, number>();

  constructor(
    private readonly connection: string,
    provider: CredentialProvider,
    private readonly context: RotationContext,
  ) {
    this.source = new CredentialSource(connection, provider, {
      onRenewed: () => this.renewSessions(),
      onFailed: (reason) => this.log('warn', 'failed', reason),
      onRecovered: () => this.log('log', 'recovered'),
    });
  }

  /**
   * Asks for the first login; call it before the first client is made.
   *
   * @throws {RedisCredentialsError} when that fails
   */
  start(deadlineMs: number): Promise<void> {
    return this.source.start(deadlineMs);
  }

  /** Ends asking. */
  stop(): void {
    this.source.stop();
  }

  /** A connection with the login in force, for a client that connects as it is created. */
  withLogin(target: ResolvedConnection): ResolvedConnection {
    const { login } = this.source;
    if (!login) return target;
    const properties = {
      ...Object.getOwnPropertyDescriptors(target),
      username: { value: login.username, enumerable: true },
      password: { value: login.password, enumerable: false },
    };
    return Object.freeze(Object.defineProperties({}, properties)) as ResolvedConnection;
  }

  /** Keeps a client, and the duplicates made of it, logged in. */
  attach<Client extends RedisClient>(client: Client): Client {
    if (client instanceof Cluster) this.attachCluster(client);
    else this.attachRedis(client, 'reconnecting');
    this.attachDuplicates(client);
    return client;
  }

  /** The nodes of a Cluster are clients of their own, made anew after each loss. */
  private attachCluster(cluster: Cluster): void {
    this.makeLive((cluster.options.redisOptions ??= {}));
    for (const node of cluster.nodes('all')) this.attachRedis(node, 'close');
    cluster.on('+node', (node: Redis) => this.attachRedis(node, 'close'));
  }

  private attachRedis(client: Redis, lost: 'reconnecting' | 'close'): void {
    this.makeLive(client.options);
    client.on('connecting', () => this.versions.set(client, this.source.version));
    client.on(lost, () => this.source.ask());
    client.on('close', () => this.ready.delete(client));
    client.on('ready', () => {
      this.ready.add(client);
      if ((this.versions.get(client) ?? 0) < this.source.version) this.renewSession(client);
      else this.source.accepted();
    });
    if (client.status === 'ready') this.ready.add(client);
  }

  private attachDuplicates(client: RedisClient): void {
    const duplicate = client.duplicate.bind(client) as (...args: unknown[]) => RedisClient;
    (client as { duplicate: unknown }).duplicate = (...args: unknown[]) => this.attach(duplicate(...args));
  }

  /** Enumerable, so that copies of the options, as ioredis makes them, carry the login of the moment. */
  private makeLive(options: object): void {
    for (const name of ['username', 'password'] as const) {
      Object.defineProperty(options, name, {
        get: () => this.source.login?.[name],
        set: () => {},
        enumerable: true,
        configurable: true,
      });
    }
  }

  private renewSessions(): void {
    for (const client of this.ready) this.renewSession(client);
  }

  /** Behind a blocking command the server reads AUTH when that ends; a RESP2 subscriber cannot send it. */
  private renewSession(client: Redis): void {
    const { login, version } = this.source;
    if (!login || client.status !== 'ready') return;
    if (client.mode === 'subscriber') {
      client.disconnect(true);
      return;
    }
    const { username, password } = login;
    const answer = username === undefined ? client.auth(password) : client.auth(username, password);
    answer.then(
      () => {
        this.versions.set(client, version);
        this.source.accepted();
      },
      (error: Error) => this.onRefused(client, error),
    );
  }

  /** The session goes on with its old login; a lost connection logs in when it is back. */
  private onRefused(client: Redis, error: Error): void {
    if (client.status !== 'ready' || error.name !== 'ReplyError') return;
    if (this.source.refused()) this.log('warn', 'refused', errorCode(error));
  }

  private log(level: 'log' | 'warn', state: 'failed' | 'recovered' | 'refused', reason?: string): void {
    const { connection } = this;
    if (this.context.logFormat === 'json') {
      this.context.logger[level]({
        event: 'redis.credentials',
        connection,
        state,
        ...(reason ? { reason } : {}),
      });
      return;
    }
    const text = {
      failed: `⚿ credentials ${connection}: the credentials function failed (${reason}); asking again`,
      recovered: `⚿ credentials ${connection}: the credentials function answers again`,
      refused: `⚿ credentials ${connection}: the server refused the new login on an open connection (${reason})`,
    }[state];
    this.context.logger[level](text);
  }
}
