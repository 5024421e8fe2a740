import type { Redis } from 'ioredis';
import type { Outcome } from '../common/index.js';
import { AbortSignals } from './abort-signals.js';
import type { CircuitBreaker } from './circuit-breaker.js';
import type { DeadlineQueue } from './deadline-queue.js';
import { DEFAULT_DEADLINE_MS, ExecutorContext } from './executor.js';
import { Heartbeat } from './heartbeat.js';
import type { ManagedConnection } from './managed-connection.js';
import {
  RedisAbortedError,
  RedisTimeoutError,
  RedisUnavailableError,
  type RedisCallError,
} from './redis.errors.js';
import { SubscribedChannel, type ChannelTransport } from './subscriber-channel.js';
import { takeOverSubscriptions } from './subscriber-client.js';
import type { SubscriptionFaults } from './subscriber-faults.js';
import { Subscription } from './subscriber-member.js';
import { ChannelMessage, type GapListener, type MessageListener } from './subscriber-message.js';

const OPERATION = 'subscriber.subscribe';

/** Settings of {@link Subscriber.attach}. */
export interface AttachOptions {
  /** Called after each gap, before the messages that follow it. */
  onGap?: GapListener;
  /** Called whenever the server has confirmed the subscription: the first time and after each gap. */
  onActive?: () => unknown;
}

/** Settings of {@link Subscriber.subscribe}. */
export interface SubscribeOptions extends AttachOptions {
  /** Time for the confirmation of the server, in milliseconds. @default 1500 */
  deadlineMs?: number;
  /** Ends the wait early. Has no effect on an established subscription. */
  signal?: AbortSignal;
}

/**
 * Ends a subscription: no message is delivered after the call. Resolves when the server knows, after
 * 1.5 s at the latest; never rejects. Idempotent.
 */
export type Unsubscribe = () => Promise<void>;

/** Counters of a {@link Subscriber}; safe to print. */
export interface SubscriberSnapshot {
  /** Channels with at least one listener. */
  readonly channels: number;
  /** Listeners of all channels together. */
  readonly listeners: number;
  /** Channels the server has confirmed on the present socket. */
  readonly active: number;
  /** Gaps since the start, counted per reconnect, and the length of the last one. */
  readonly gaps: number;
  /** Length of the last gap in milliseconds; 0 when there was none. */
  readonly lastGapMs: number;
  /** Sockets given up because a PING got no answer. */
  readonly heartbeatTimeouts: number;
}

/** What a {@link Subscriber} is built from. @internal */
export interface SubscriberInit {
  connection: string;
  /** Opens the connection of role `subscriber`. */
  open: () => ManagedConnection;
  deadlines: DeadlineQueue;
  breaker: CircuitBreaker;
  faults: SubscriptionFaults;
}

/** What exists once the connection was opened. */
interface Line {
  link: ManagedConnection;
  client: Redis;
  heartbeat: Heartbeat;
  calls: ExecutorContext;
}

/**
 * The pub/sub connection to one server, shared by everything in the application that listens there.
 * Opened with the first subscription. One SUBSCRIBE per channel, however many listeners it has.
 *
 * A lost connection is noticed within 1.8 s, also when the peer vanished without a word; subscriptions
 * survive it, and every listener learns how long it may have missed messages.
 *
 * @see https://redis.io/docs/latest/develop/pubsub/
 */
export class Subscriber {
  private readonly channels = new Map<string, SubscribedChannel>();
  private readonly subscriptions = new Set<Subscription>();
  private readonly gapListeners = new Set<GapListener>();
  private readonly transport: ChannelTransport;
  private readonly signals = new AbortSignals();
  private line: Line | undefined;
  private epoch = 0;
  private countedEpoch = 0;
  private gaps = 0;
  private lastGapMs = 0;
  private closed = false;

  /** @internal */
  constructor(private readonly init: SubscriberInit) {
    this.transport = this.createTransport();
  }

  /** Counters since the start. */
  snapshot(): SubscriberSnapshot {
    const channels = [...this.channels.values()].filter(({ size }) => size > 0);
    return {
      channels: channels.length,
      listeners: this.subscriptions.size,
      active: channels.filter(({ isActive }) => isActive).length,
      gaps: this.gaps,
      lastGapMs: this.lastGapMs,
      heartbeatTimeouts: this.line?.heartbeat.timeouts ?? 0,
    };
  }

  /**
   * Listens to a channel. Resolves when the server has confirmed it, so that what is published from
   * then on arrives. One round trip for the first listener of a channel, none for the others.
   *
   * An established subscription outlives lost connections by itself. One that could not be established
   * leaves nothing behind.
   *
   * @param listener called in the order of arrival; what it throws is logged and reaches nobody else
   * @throws {RedisUnavailableError} at once when the server is known to be away
   * @throws {RedisTimeoutError} without a confirmation within `deadlineMs`
   * @throws {RedisCommandError} when the user may not listen to the channel
   * @throws {RedisAbortedError} when `signal` is aborted
   * @see https://redis.io/docs/latest/commands/subscribe/
   */
  async subscribe(
    channel: string,
    listener: MessageListener,
    options: SubscribeOptions = {},
  ): Promise<Unsubscribe> {
    const { signal, deadlineMs = DEFAULT_DEADLINE_MS } = options;
    const refusal = this.closed ? this.unavailable() : this.refusal(channel, signal);
    if (refusal) throw refusal;
    const { subscription, unsubscribe } = this.join(channel, listener, options);
    try {
      await subscription.confirmed({
        deadlines: this.init.deadlines,
        deadlineMs,
        signal,
        signals: this.signals,
        timedOut: (stalledMs) =>
          new RedisTimeoutError(deadlineMs, this.context(this.outcome(channel)), stalledMs),
        aborted: () => new RedisAbortedError(this.context(this.outcome(channel))),
      });
    } catch (error) {
      void unsubscribe();
      throw this.line?.calls.report(error as RedisCallError) ?? error;
    }
    return unsubscribe;
  }

  /**
   * Listens to a channel from the moment there is a connection; returns at once and never fails.
   * `onActive` tells when the server has confirmed it.
   */
  attach(channel: string, listener: MessageListener, options: AttachOptions = {}): Unsubscribe {
    if (this.closed) return () => Promise.resolve();
    return this.join(channel, listener, options).unsubscribe;
  }

  /**
   * Calls `listener` after every gap of every channel, once per channel.
   *
   * @returns a function that takes the listener back
   */
  onGap(listener: GapListener): () => void {
    this.gapListeners.add(listener);
    return () => void this.gapListeners.delete(listener);
  }

  /** Ends the heartbeat and all waits; the connection itself is closed by the registry. @internal */
  close(): void {
    this.closed = true;
    this.line?.heartbeat.stop();
    for (const subscription of this.subscriptions) subscription.end(this.unavailable());
    this.subscriptions.clear();
    this.gapListeners.clear();
  }

  private join(channel: string, listener: MessageListener, options: AttachOptions) {
    this.open();
    const { onGap, onActive } = options;
    const subscription = new Subscription(channel, { listener, onGap, onActive }, this.init.faults, (gap) => {
      this.count(gap.durationMs);
      for (const listen of this.gapListeners) this.init.faults.isolate('gap listener', listen, gap);
    });
    const subscribed = this.channel(channel);
    this.subscriptions.add(subscription);
    subscribed.join(subscription);
    let ended: Promise<void> | undefined;
    const unsubscribe: Unsubscribe = () => (ended ??= this.leave(subscribed, subscription));
    return { subscription, unsubscribe };
  }

  private async leave(channel: SubscribedChannel, subscription: Subscription): Promise<void> {
    subscription.end();
    this.subscriptions.delete(subscription);
    channel.leave(subscription);
    if (this.closed || channel.size > 0) return;
    await new Promise<void>((resolve) => {
      const deadline = this.init.deadlines.add(DEFAULT_DEADLINE_MS, () => resolve());
      void channel.whenIdle().then(() => (deadline.cancel(), resolve()));
    });
  }

  private channel(name: string): SubscribedChannel {
    let channel = this.channels.get(name);
    if (!channel) {
      channel = new SubscribedChannel(name, this.transport, (idle) => this.channels.delete(idle.name));
      this.channels.set(name, channel);
    }
    return channel;
  }

  private open(): Line {
    if (this.line) return this.line;
    const { init } = this;
    const link = init.open();
    const client = takeOverSubscriptions(link.client, init.connection);
    const calls = new ExecutorContext(link, init.deadlines, init.breaker);
    this.line = { link, client, heartbeat: new Heartbeat(client), calls };
    client.on('messageBuffer', (channel: Buffer, data: Buffer) => this.onMessage(channel, data));
    client.on('ready', () => this.eachChannel((channel) => channel.reconcile()));
    client.on('close', () => {
      this.epoch += 1;
      this.eachChannel((channel) => channel.disconnected());
    });
    return this.line;
  }

  private onMessage(name: Buffer, data: Buffer): void {
    const channel = this.channels.get(name.toString());
    if (channel) channel.deliver(new ChannelMessage(channel.name, data));
  }

  private eachChannel(apply: (channel: SubscribedChannel) => void): void {
    if (!this.closed) for (const channel of this.channels.values()) apply(channel);
  }

  private createTransport(): ChannelTransport {
    return {
      connection: this.init.connection,
      isReady: () => !this.closed && this.line?.link.isReady === true,
      epoch: () => this.epoch,
      provenAtMs: () => this.line?.heartbeat.provenAtMs ?? 0,
      subscribe: (channel) => this.open().client.subscribe(channel),
      unsubscribe: (channel) => this.open().client.unsubscribe(channel),
    };
  }

  /** All channels lose their messages together; the reconnect counts once, with its longest gap. */
  private count(durationMs: number): void {
    if (this.countedEpoch !== this.epoch) {
      this.countedEpoch = this.epoch;
      this.gaps += 1;
      this.lastGapMs = 0;
    }
    this.lastGapMs = Math.max(this.lastGapMs, durationMs);
  }

  private refusal(channel: string, signal: AbortSignal | undefined): RedisCallError | undefined {
    const refusal = this.open().calls.refusal(OPERATION, signal);
    if (!refusal || (!signal?.aborted && this.channels.get(channel)?.isActive)) return undefined;
    return this.line?.calls.report(refusal);
  }

  private outcome(channel: string): Outcome {
    return this.channels.get(channel)?.wasSent ? 'unknown' : 'not-sent';
  }

  private unavailable(): RedisUnavailableError {
    return new RedisUnavailableError('closed', this.context('not-sent'));
  }

  private context(outcome: Outcome) {
    return { connection: this.init.connection, operation: OPERATION, outcome };
  }
}
