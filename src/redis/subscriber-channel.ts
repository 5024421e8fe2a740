import { toCallError } from './error-mapping.js';
import { RedisCommandError, type RedisCallError } from './redis.errors.js';
import { ChannelMessage, type SubscriptionGap } from './subscriber-message.js';

/** What a {@link SubscribedChannel} needs of its connection. */
export interface ChannelTransport {
  readonly connection: string;
  /** Whether a command can be written now. */
  isReady(): boolean;
  /** Counts sockets: what was confirmed on another one is void. */
  epoch(): number;
  /** Monotonic time up to which everything sent has arrived. */
  provenAtMs(): number;
  subscribe(channel: string): Promise<unknown>;
  unsubscribe(channel: string): Promise<unknown>;
}

/** One listener of a channel, as the channel sees it. */
export interface ChannelMember {
  deliver(message: ChannelMessage): void;
  /** The server has confirmed the subscription, for the first time or again. */
  active(): void;
  /** Messages may have been lost for a member that had been active. */
  lost(gap: SubscriptionGap): void;
  /** The server does not allow the channel. */
  refused(error: RedisCommandError): void;
}

/** `unsure`: a command was written and its answer is not known. */
type ServerSide = 'absent' | 'unsure' | 'present';

/**
 * One channel of one connection: counts its members and keeps the server's side in step with them.
 * Commands run one after another; the loop compares what is wanted with what is, so that whatever
 * joins, leaves or breaks in between is settled by the next step.
 */
export class SubscribedChannel {
  private members: readonly ChannelMember[] = [];
  private server: ServerSide = 'absent';
  private busy = false;
  private held = false;
  private sent = false;
  private lostAtMs: number | undefined;
  private confirmedAtMs = 0;
  private idle: (() => void)[] = [];

  constructor(
    readonly name: string,
    private readonly transport: ChannelTransport,
    private readonly onIdle: (channel: SubscribedChannel) => void,
  ) {}

  /** Members now; the server has one subscription for all of them. */
  get size(): number {
    return this.members.length;
  }

  /** Whether the server has confirmed the subscription on the present socket. */
  get isActive(): boolean {
    return this.server === 'present';
  }

  /** Whether a SUBSCRIBE was written since the last one was answered. */
  get wasSent(): boolean {
    return this.sent;
  }

  /** Whether nothing would be lost by forgetting the channel. */
  get isDisposable(): boolean {
    return this.size === 0 && this.server === 'absent' && !this.busy;
  }

  join(member: ChannelMember): void {
    this.members = [...this.members, member];
    this.held = false;
    if (this.isActive) member.active();
    this.reconcile();
  }

  leave(member: ChannelMember): void {
    this.members = this.members.filter((other) => other !== member);
    this.reconcile();
    if (this.isDisposable) this.onIdle(this);
  }

  deliver(message: ChannelMessage): void {
    for (const member of this.members) member.deliver(message);
  }

  /** The socket is gone, and every subscription with it. */
  disconnected(): void {
    if (this.isActive) {
      this.lostAtMs ??= Math.max(this.transport.provenAtMs(), this.confirmedAtMs);
    }
    this.server = 'absent';
    this.held = this.sent = false;
    if (this.isDisposable) this.onIdle(this);
  }

  /** Brings the server's side in line; returns at once. */
  reconcile(): void {
    if (this.busy || !this.isDue) return;
    this.busy = true;
    void this.run();
  }

  /** Resolves when no command of the channel is on its way. */
  whenIdle(): Promise<void> {
    if (!this.busy) return Promise.resolve();
    return new Promise((resolve) => this.idle.push(resolve));
  }

  private get isDue(): boolean {
    if (this.held || !this.transport.isReady()) return false;
    return this.size > 0 ? this.server !== 'present' : this.server !== 'absent';
  }

  /** `busy` falls in the same turn as the last look at {@link isDue}: nothing slips in between. */
  private async run(): Promise<void> {
    while (this.isDue) await this.step();
    this.busy = false;
    const waiting = this.idle;
    this.idle = [];
    if (this.isDisposable) this.onIdle(this);
    for (const resolve of waiting) resolve();
  }

  private async step(): Promise<void> {
    const { transport, name } = this;
    const epoch = transport.epoch();
    const joins = this.size > 0;
    const sentAtMs = performance.now();
    this.server = 'unsure';
    this.sent ||= joins;
    try {
      await (joins ? transport.subscribe(name) : transport.unsubscribe(name));
      if (transport.epoch() !== epoch) return;
      this.server = joins ? 'present' : 'absent';
      this.sent = false;
      if (joins) this.confirm(sentAtMs);
      else this.lostAtMs = undefined;
    } catch (error) {
      if (transport.epoch() === epoch) this.failed(error);
    }
  }

  private confirm(sentAtMs: number): void {
    this.confirmedAtMs = sentAtMs;
    const lostAtMs = this.lostAtMs;
    this.lostAtMs = undefined;
    const { members } = this;
    if (lostAtMs !== undefined) {
      const durationMs = Math.round(performance.now() - lostAtMs);
      const gap = { channel: this.name, fromMs: Date.now() - durationMs, durationMs };
      for (const member of members) member.lost(gap);
    }
    for (const member of members) member.active();
  }

  private failed(cause: unknown): void {
    const error: RedisCallError = toCallError(cause, {
      connection: this.transport.connection,
      operation: 'subscriber.subscribe',
      deadlineMs: 0,
    });
    // Both commands may be repeated. One without an answer on a living socket is sent again at once;
    // on a dead one the heartbeat ends the wait.
    if (error.code === 'ERR_REDIS_TIMEOUT') return;
    this.held = true;
    if (!(error instanceof RedisCommandError)) return;
    this.server = 'absent';
    this.sent = false;
    for (const member of this.members) member.refused(error);
  }
}
