import type { AbortSignals } from './abort-signals.js';
import type { Deadline, DeadlineQueue } from './deadline-queue.js';
import type { RedisCallError, RedisCommandError } from './redis.errors.js';
import type { ChannelMember } from './subscriber-channel.js';
import type { SubscriptionFaults } from './subscriber-faults.js';
import type { ChannelMessage, GapListener, MessageListener, SubscriptionGap } from './subscriber-message.js';

/** What a {@link Subscription} calls. */
export interface SubscriptionCallbacks {
  readonly listener: MessageListener;
  readonly onGap: GapListener | undefined;
  readonly onActive: (() => unknown) | undefined;
}

/** The wait of a caller for the first confirmation. */
export interface ConfirmationWait {
  readonly deadlines: DeadlineQueue;
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  readonly signals: AbortSignals;
  /** Error for a wait that the deadline (`stalledMs` of it blocked) or the signal ended. */
  readonly timedOut: (stalledMs: number) => RedisCallError;
  readonly aborted: () => RedisCallError;
}

/** One listener of one channel, from `subscribe` to `unsubscribe`. */
export class Subscription implements ChannelMember {
  private open = true;
  private hasBeenActive = false;
  private waiting: { resolve: () => void; reject: (error: RedisCallError) => void } | undefined;

  constructor(
    private readonly channel: string,
    private readonly callbacks: SubscriptionCallbacks,
    private readonly faults: SubscriptionFaults,
    private readonly onGap: (gap: SubscriptionGap) => void,
  ) {}

  /** Delivers nothing from now on; a wait for the confirmation ends with `reason`. */
  end(reason?: RedisCallError): void {
    this.open = false;
    if (reason) this.waiting?.reject(reason);
  }

  /** Resolves when the server has confirmed the subscription for the first time. */
  confirmed(wait: ConfirmationWait): Promise<void> {
    if (this.hasBeenActive) return Promise.resolve();
    const { signal } = wait;
    return new Promise<void>((resolve, reject) => {
      const finish = (): void => {
        this.waiting = undefined;
        deadline.cancel();
        leave?.();
      };
      const settle = {
        resolve: () => (finish(), resolve()),
        reject: (error: RedisCallError) => (finish(), reject(error)),
      };
      const onAbort = (): void => settle.reject(wait.aborted());
      const deadline: Deadline = wait.deadlines.add(wait.deadlineMs, (stalledMs) =>
        settle.reject(wait.timedOut(stalledMs)),
      );
      const leave = signal && wait.signals.follow(signal, onAbort);
      this.waiting = settle;
    });
  }

  deliver(message: ChannelMessage): void {
    if (this.open) this.faults.isolate(this.source, this.callbacks.listener, message);
  }

  active(): void {
    this.hasBeenActive = true;
    this.waiting?.resolve();
    const { onActive } = this.callbacks;
    if (this.open && onActive) this.faults.isolate(this.source, onActive, undefined);
  }

  lost(gap: SubscriptionGap): void {
    if (!this.open || !this.hasBeenActive) return;
    this.onGap(gap);
    const { onGap } = this.callbacks;
    if (onGap) this.faults.isolate(this.source, onGap, gap);
  }

  refused(error: RedisCommandError): void {
    if (this.waiting) this.waiting.reject(error);
    else this.faults.report(this.source, error);
  }

  private get source(): string {
    return `listener of "${this.channel}"`;
  }
}
