import type { HostPort, ResolvedConnection } from '../config/index.js';
import { CircuitBreaker, type CircuitState } from './circuit-breaker.js';
import { clientName, createClient, duplicateForRole, type RedisClient } from './client-factory.js';
import { ConnectionLog, type ConnectionLogger, type LogFormat } from './connection-log.js';
import type { DeadlineQueue } from './deadline-queue.js';
import { RedisExecutor } from './executor.js';
import { CredentialRotation } from './credential-rotation.js';
import { ManagedConnection } from './managed-connection.js';
import { RedisOperations } from './operations.js';
import type { ConnectionRole } from './roles.js';
import { createListeningClient, isListening, nodeOf } from './subscriber-client.js';
import { ListeningConnections } from './subscriber-group.js';
import { TransactionLanes } from './transaction-lanes.js';

/** What all groups of an application share. */
export interface GroupContext {
  app: string;
  logger: ConnectionLogger;
  logFormat: LogFormat;
  deadlines: DeadlineQueue;
  /** Connections open when they are first used, not when they are first asked for. */
  lazy: boolean;
}

/** Where a group's clients come from: a configured server, or a client of the application. */
export type GroupSource = { target: ResolvedConnection } | { client: RedisClient };

type CreatedClient = Pick<ManagedConnection, 'client' | 'owned'> & { target?: ResolvedConnection };

/** Time for the goodbye to a node that is not tracked any more, in milliseconds. */
const NODE_CLOSE_MS = 1000;

/** Connections for transactions at most. */
const TRANSACTION_LANES = 4;

/** The connections to one server, one per role, each opened when its role is first used. */
export class ConnectionGroup {
  private readonly links = new Map<ConnectionRole, ManagedConnection>();
  private readonly executors = new Map<ConnectionRole, RedisExecutor>();
  /** Connections of the `transaction` role beyond the first. */
  private readonly lanes: { link: ManagedConnection; executor: RedisExecutor }[] = [];
  /** Work with several commands or keys; opens connections as they are needed. */
  readonly operations: RedisOperations;
  /** Connections to single nodes of a Cluster; they come and go with its masters. */
  private readonly nodes = new Set<ManagedConnection>();
  private readonly rotation: CredentialRotation | undefined;
  /** Subscriptions, wake-ups and tracking; opens connections as they are needed. */
  readonly listening: ListeningConnections;
  private closed = false;
  /** Shared by all roles: they go to the same server. */
  readonly breaker: CircuitBreaker;

  constructor(
    readonly name: string,
    private readonly source: GroupSource,
    private readonly context: GroupContext,
  ) {
    this.breaker = new CircuitBreaker(name, (state, openMs) => this.logCircuit(state, openMs));
    const provider = 'target' in source ? source.target.credentials : undefined;
    if (provider) this.rotation = new CredentialRotation(name, provider, context);
    const lanes = new TransactionLanes(TRANSACTION_LANES, (index) => this.lane(index));
    this.operations = new RedisOperations(name, () => this.executor('command'), lanes);
    this.listening = new ListeningConnections(this, context);
  }

  /**
   * Asks for credentials that rotate, if the connection has such; call it before it is opened.
   *
   * @throws {RedisCredentialsError} when they cannot be had
   */
  async prepare(deadlineMs: number): Promise<void> {
    await this.rotation?.start(deadlineMs);
  }

  /** The connection of a role, opened on first use. */
  open(role: ConnectionRole): ManagedConnection {
    const existing = this.links.get(role);
    if (existing) return existing;
    if (this.closed) throw new Error(`Connection "${this.name}" is closed`);
    const link = this.create(role);
    this.links.set(role, link);
    return this.context.lazy ? link : link.open();
  }

  /** Whether its keys are spread over several servers. */
  get isCluster(): boolean {
    return 'target' in this.source && this.source.target.mode === 'cluster';
  }

  /** A connection of role `tracking` to one node of the Cluster. */
  openNode(node: HostPort): ManagedConnection {
    if (this.closed) throw new Error(`Connection "${this.name}" is closed`);
    const link = this.manage('tracking', this.createClient('tracking', node));
    this.nodes.add(link);
    return link;
  }

  /** Closes a connection to a node for good. */
  closeNode(link: ManagedConnection): void {
    this.nodes.delete(link);
    void link.close(NODE_CLOSE_MS);
  }

  /** The executor of a role, opening its connection on first use. */
  executor(role: ConnectionRole): RedisExecutor {
    let executor = this.executors.get(role);
    if (!executor) {
      executor = new RedisExecutor(this.open(role), this.context.deadlines, this.breaker);
      this.executors.set(role, executor);
    }
    return executor;
  }

  /** Connections opened so far, in the order they were opened. */
  opened(): readonly ManagedConnection[] {
    return [...this.links.values(), ...this.nodes, ...this.lanes.map(({ link }) => link)];
  }

  /** Refuses further connections; those that are open are closed by the registry. */
  seal(): void {
    this.closed = true;
    this.breaker.stop();
    this.rotation?.stop();
    this.listening.close();
  }

  /** Transactions need several connections of one role: what is watched belongs to the connection. */
  private lane(index: number): RedisExecutor {
    if (index === 0) return this.executor('transaction');
    const existing = this.lanes[index - 1];
    if (existing) return existing.executor;
    if (this.closed) throw new Error(`Connection "${this.name}" is closed`);
    const link = this.create('transaction').open();
    const executor = new RedisExecutor(link, this.context.deadlines, this.breaker);
    this.lanes.push({ link, executor });
    return executor;
  }

  private create(role: ConnectionRole): ManagedConnection {
    const link = this.manage(role, this.createClient(role));
    link.client.on('ready', () => this.onReady(link));
    return link;
  }

  private manage(role: ConnectionRole, client: CreatedClient): ManagedConnection {
    const link = new ManagedConnection({ connection: this.name, role, ...client });
    new ConnectionLog(link, this.context.logger, this.context.logFormat).attach();
    return link;
  }

  /** The server is back: the other roles need not wait for their own next attempt. */
  private onReady(link: ManagedConnection): void {
    this.breaker.close();
    for (const other of this.links.values()) if (other !== link) other.hurry();
  }

  private logCircuit(state: CircuitState, openMs: number): void {
    const { logger, logFormat } = this.context;
    const record = { event: 'redis.circuit', connection: this.name, state, openMs: Math.round(openMs) };
    const line =
      state === 'open'
        ? `⊘ circuit open ${this.name}: the server does not answer; calls fail at once`
        : `⊙ circuit closed ${this.name}: the server answers again (open for ${(openMs / 1000).toFixed(1)} s)`;
    const message = logFormat === 'json' ? record : line;
    if (state === 'open') logger.warn(message);
    else logger.log(message);
  }

  private createClient(role: ConnectionRole, node?: HostPort): CreatedClient {
    const name = clientName(this.context.app, role);
    if ('target' in this.source) {
      const { target } = this.source;
      const whole = this.rotation?.withLogin(target) ?? target;
      const login = node ? nodeOf(whole, node) : whole;
      const client = isListening(role)
        ? createListeningClient(login, role, name)
        : createClient(login, role, name);
      return { client: this.rotation?.attach(client) ?? client, owned: true, target: login };
    }
    const { client } = this.source;
    return role === 'command'
      ? { client, owned: false }
      : { client: duplicateForRole(client, role, name), owned: true };
  }
}
