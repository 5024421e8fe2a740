import { ConfigurationError } from '../common/index.js';
import type { RednestConfiguration } from '../config/index.js';
import { diagnoseBoot } from './boot-diagnosis.js';
import type { RedisClient } from './client-factory.js';
import { ConnectionGroup, type GroupContext } from './connection-group.js';
import type { RedisExecutor } from './executor.js';
import type { ConnectionSnapshot, ManagedConnection } from './managed-connection.js';
import type { RedisOperations } from './operations.js';
import { RedisBootError } from './redis.errors.js';
import { DEFAULT_CONNECTION } from './redis.tokens.js';
import type { ConnectionRole } from './roles.js';

/** Something the registry stops after the last connection has ended, such as an embedded server. */
export interface OwnedServer {
  /** Ends the server. Called once, after the last connection closed; must settle. */
  stop(): Promise<void>;
}

/** Constructor arguments of {@link ConnectionRegistry}. */
export interface ConnectionRegistryInit {
  /** Checked configuration; its connections are opened on first use. */
  configuration: RednestConfiguration;
  /** What all connections share: name of the application, loggers, drain state. */
  context: GroupContext;
  /** Client of the application for the default connection. */
  client?: RedisClient;
  /** Server that lives and dies with the application. */
  server?: OwnedServer;
}

/**
 * Every connection of one application: opened by name and role, listed for health, closed in one
 * place. Created by `RedisModule`; inject it to reach an executor or a client of another role.
 */
export class ConnectionRegistry {
  /** Validated configuration; prints without secrets. */
  readonly configuration: RednestConfiguration;
  private readonly groups = new Map<string, ConnectionGroup>();
  private readonly server: OwnedServer | undefined;
  private readonly context: GroupContext;
  private closing: Promise<void> | undefined;

  /** @internal */
  constructor(init: ConnectionRegistryInit) {
    this.configuration = init.configuration;
    this.context = init.context;
    this.server = init.server;
    for (const [name, target] of init.configuration.connections) {
      this.groups.set(name, new ConnectionGroup(name, { target }, init.context));
    }
    if (init.client) {
      this.groups.set(
        DEFAULT_CONNECTION,
        new ConnectionGroup(DEFAULT_CONNECTION, { client: init.client }, init.context),
      );
    }
  }

  /** Names of the configured connections. */
  get names(): readonly string[] {
    return [...this.groups.keys()];
  }

  /**
   * The executor for a connection and role; the connection is opened on first use.
   *
   * @param name configured name @default 'default'
   * @param role @default 'command'
   * @throws {ConfigurationError} when no connection has this name
   */
  executor(name: string = DEFAULT_CONNECTION, role: ConnectionRole = 'command'): RedisExecutor {
    return this.group(name).executor(role);
  }

  /**
   * Batches, transactions and scans for a connection; its connections are opened on first use.
   *
   * @param name configured name @default 'default'
   * @throws {ConfigurationError} when no connection has this name
   */
  operations(name: string = DEFAULT_CONNECTION): RedisOperations {
    return this.group(name).operations;
  }

  /**
   * The raw client for a connection and role, for libraries that need one (BullMQ). Opened on first
   * use, closed by Rednest.
   *
   * @throws {ConfigurationError} when no connection has this name
   */
  client(name: string = DEFAULT_CONNECTION, role: ConnectionRole = 'command'): RedisClient {
    return this.connection(name, role).client;
  }

  /** The managed connection for a name and role: its state, address and readiness. */
  connection(name: string = DEFAULT_CONNECTION, role: ConnectionRole = 'command'): ManagedConnection {
    return this.group(name).open(role);
  }

  /** States of all connections opened so far; safe to print. */
  snapshot(): ConnectionSnapshot[] {
    return this.links().map((link) => link.snapshot());
  }

  /**
   * Opens the command connection and waits until it is ready, at most the configured boot timeout.
   * On failure everything opened so far is closed, so that a failed start leaves nothing behind.
   *
   * @throws {RedisBootError} naming the server, the cause and the fix
   */
  async boot(name: string): Promise<RedisClient> {
    const link = this.connection(name, 'command');
    try {
      await this.waitUntilReady(link);
    } catch (error) {
      await this.close();
      throw error;
    }
    return link.client;
  }

  /** Ends every connection and then the embedded server, if there is one. Idempotent; never rejects. */
  close(deadlineMs = 1000): Promise<void> {
    return (this.closing ??= this.closeAll(deadlineMs));
  }

  private async closeAll(deadlineMs: number): Promise<void> {
    for (const group of this.groups.values()) group.seal();
    const links = this.links().reverse();
    const dependents = links.filter(({ role }) => role !== 'command');
    const commands = links.filter(({ role }) => role === 'command');
    await Promise.all(dependents.map((link) => link.close(deadlineMs)));
    await Promise.all(commands.map((link) => link.close(deadlineMs)));
    this.context.deadlines.expireAll();
    await this.server?.stop().catch(() => undefined);
  }

  private links(): ManagedConnection[] {
    return [...this.groups.values()].flatMap((group) => group.opened());
  }

  private group(name: string): ConnectionGroup {
    const group = this.groups.get(name);
    if (group) return group;
    const known = this.names.map((known) => `"${known}"`).join(', ');
    throw new ConfigurationError(
      `No Redis connection is named "${name}"; configured are ${known}. ` +
        'Add it under "connections" of RedisModule.forRoot',
    );
  }

  private waitUntilReady(link: ManagedConnection): Promise<void> {
    if (link.isReady) return Promise.resolve();
    const { bootTimeoutMs } = this.configuration;
    return new Promise<void>((resolve, reject) => {
      const settle = (finish: () => void) => {
        clearTimeout(timer);
        stopWaiting();
        link.client.off('error', onError);
        finish();
      };
      const fail = () => settle(() => reject(bootError(link, bootTimeoutMs)));
      const onError = (error: Error) => {
        if (diagnoseBoot(error).permanent) fail();
      };
      const timer = setTimeout(fail, bootTimeoutMs);
      const stopWaiting = link.onceReady(() => settle(resolve));
      link.client.on('error', onError);
      if (link.lastFailure) onError(link.lastFailure);
    });
  }
}

function bootError(link: ManagedConnection, bootTimeoutMs: number): RedisBootError {
  const { reason, permanent, advice } = diagnoseBoot(link.lastFailure);
  const waited = permanent ? '' : ` within ${bootTimeoutMs} ms`;
  return new RedisBootError(
    `Redis connection "${link.connection}" (${link.target}) did not become ready${waited}: ${reason}, ${advice}`,
    reason,
    permanent,
  );
}
