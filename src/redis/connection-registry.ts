import { ConfigurationError } from '../common/index.js';
import type { RednestConfiguration } from '../config/index.js';
import type { ConnectionNeed, DeclaredNeed } from './boot-checks.js';
import { ConnectionBoot } from './boot.js';
import { CapabilityRegistry } from './capability-registry.js';
import type { CircuitSnapshot } from './circuit-breaker.js';
import type { RedisClient } from './client-factory.js';
import { ConnectionGroup, type GroupContext } from './connection-group.js';
import type { RedisExecutor } from './executor.js';
import type { ConnectionSnapshot, ManagedConnection } from './managed-connection.js';
import type { RedisOperations } from './operations.js';
import { DEFAULT_CONNECTION } from './redis.tokens.js';
import type { ConnectionRole } from './roles.js';
import type { Subscriber } from './subscriber.js';
import type { TrackingConnection } from './tracking-connection.js';
import type { WakeUpChannel } from './wake-up-channel.js';

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
  /** What works on which connection; capabilities declare themselves here. */
  readonly capabilities = new CapabilityRegistry();
  private readonly groups = new Map<string, ConnectionGroup>();
  private readonly server: OwnedServer | undefined;
  private readonly context: GroupContext;
  private readonly boots = new Map<string, Promise<ConnectionBoot>>();
  private readonly needs = new Map<string, DeclaredNeed[]>();
  private readonly givenUp = new AbortController();
  private readonly init: ConnectionRegistryInit;
  private closing: Promise<void> | undefined;

  /** @internal */
  constructor(init: ConnectionRegistryInit) {
    this.init = init;
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
   * The pub/sub connection to a server, shared by all listeners; opened with the first subscription.
   *
   * @throws {ConfigurationError} when no connection has this name
   */
  subscriber(name: string = DEFAULT_CONNECTION): Subscriber {
    return this.group(name).listening.subscriber();
  }

  /**
   * The wake-ups of the application over one server, on the pub/sub channel `<keyPrefix>:wake`.
   *
   * @throws {ConfigurationError} when no connection has this name
   */
  wakeUps(name: string = DEFAULT_CONNECTION): WakeUpChannel {
    return this.group(name).listening.wakeUp(this.configuration.keyPrefix);
  }

  /**
   * Invalidations of the keys that start with one of the prefixes; opened with the first listener. One
   * set of prefixes per server. Redis 6 or later. On a Cluster, one connection per master.
   *
   * @throws {ConfigurationError} when no connection has this name, or it tracks other prefixes
   */
  tracking(name: string, prefixes: readonly string[]): TrackingConnection {
    return this.group(name).listening.tracking(prefixes);
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

  /** Circuits of all configured servers; safe to print. */
  circuits(): CircuitSnapshot[] {
    return [...this.groups.values()].map(({ breaker }) => breaker.snapshot());
  }

  /**
   * Asks for the credentials of every connection that has a `credentials` function. When one fails,
   * everything is closed, unless the application is to start without its servers.
   *
   * @throws {RedisCredentialsError} naming the connection
   */
  async prepare(): Promise<void> {
    const { bootTimeoutMs, bootMode } = this.configuration;
    try {
      await Promise.all([...this.groups.values()].map((group) => group.prepare(bootTimeoutMs)));
    } catch (error) {
      if (bootMode !== 'wait') return;
      await this.close();
      throw error;
    }
  }

  /**
   * Starts the command connection as the boot mode says: waits until it is ready, at most the boot
   * timeout, then checks the server; or leaves it to its first use. On failure everything opened so far
   * is closed, so that a failed start leaves nothing behind.
   *
   * @throws {RedisBootError} naming the server, the cause and the fix
   */
  async boot(name: string = DEFAULT_CONNECTION): Promise<RedisClient> {
    await this.booted(name);
    return this.connection(name, 'command').client;
  }

  /**
   * Declares what a capability needs of the server behind a connection. Call it in a constructor:
   * the needs are checked once all modules are built.
   *
   * @param usedBy who needs it, in the words of the message: `queues`
   * @throws {ConfigurationError} when no connection has this name
   */
  require(name: string, need: ConnectionNeed, usedBy: string): void {
    const { name: connection } = this.group(name);
    // What the embedded server holds is meant to end with the process.
    if (need === 'persistence' && this.server && connection === DEFAULT_CONNECTION) return;
    const declared = this.needs.get(connection) ?? [];
    declared.push({ need, usedBy });
    this.needs.set(connection, declared);
  }

  /**
   * Checks every declared need. In production an unmet need ends the start, elsewhere it is logged.
   *
   * @throws {RedisBootError} naming the server, the need and the fix
   */
  async verify(): Promise<void> {
    for (const [name, needs] of this.needs) {
      const boot = await this.booted(name);
      await this.orClose(boot.verify(needs));
    }
  }

  /** Ends every connection and then the embedded server, if there is one. Idempotent; never rejects. */
  close(deadlineMs = 1000): Promise<void> {
    return (this.closing ??= this.closeAll(deadlineMs));
  }

  private async closeAll(deadlineMs: number): Promise<void> {
    this.givenUp.abort();
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

  private booted(name: string): Promise<ConnectionBoot> {
    let boot = this.boots.get(name);
    if (!boot) {
      boot = this.orClose(this.startBoot(name));
      this.boots.set(name, boot);
    }
    return boot;
  }

  private async startBoot(name: string): Promise<ConnectionBoot> {
    const { bootMode, bootTimeoutMs, environment, connections } = this.configuration;
    const isForeign = this.init.client !== undefined && name === DEFAULT_CONNECTION;
    const boot = new ConnectionBoot({
      link: this.connection(name, 'command'),
      target: isForeign ? undefined : connections.get(name),
      mode: bootMode,
      timeoutMs: bootTimeoutMs,
      environment,
      logger: this.context.logger,
      signal: this.givenUp.signal,
    });
    await boot.start();
    return boot;
  }

  /** A start that failed leaves no connection behind. */
  private async orClose<T>(step: Promise<T>): Promise<T> {
    try {
      return await step;
    } catch (error) {
      await this.close();
      throw error;
    }
  }
}
