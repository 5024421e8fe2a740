import { AbortSignals } from './abort-signals.js';
import type { DeadlineQueue } from './deadline-queue.js';
import type { CallOptions, RedisExecutor } from './executor.js';
import type { Subscriber, Unsubscribe } from './subscriber.js';

/** Settings of a wait. */
export interface WakeUpWait {
  /** How long to wait at most, in milliseconds. */
  deadlineMs: number;
  /** Ends the wait early, with `false`. */
  signal?: AbortSignal;
}

/** A {@link WakeUpChannel.listen | listener} for one name, or several. */
export interface WakeUpListener {
  /**
   * Waits for a wake-up; returns at once when one has come since the last wait.
   *
   * @returns `true` when woken, which is a reason to look again and no more; `false` at the deadline,
   * when the signal is aborted, or when the application closes
   */
  wait(wait: WakeUpWait): Promise<boolean>;
  /** Whether no wait lasts any more: closed, or the application closes. */
  readonly isClosed: boolean;
  /** Ends the listening; a wait that runs ends with `false`. Idempotent. */
  close(): void;
}

/** What a {@link WakeUpChannel} is built from. @internal */
export interface WakeUpChannelInit {
  /** Name of the pub/sub channel. */
  channel: string;
  subscriber: Subscriber;
  executor: () => RedisExecutor;
  deadlines: DeadlineQueue;
}

/**
 * Wakes waiters in all processes of an application by name, over one pub/sub channel, so that waiting
 * for a lock or another process's result needs no polling. The channel is subscribed with the first
 * wait and stays.
 *
 * A wake-up is a hint: waiters are also woken when the subscription is established or restored,
 * because one may have been missed before. Look again after every `true`, and in the end at `false`.
 *
 * @example
 * const listener = wakeUps.listen('job:42'); // first listen, then look: nothing is missed in between
 * try {
 *   while (!(await isDone()) && (await listener.wait({ deadlineMs: 5000 }))) continue;
 * } finally {
 *   listener.close();
 * }
 */
export class WakeUpChannel {
  private readonly sleepers = new Map<string, Set<Sleeper>>();
  private readonly signals = new AbortSignals();
  private attached: Unsubscribe | undefined;
  private closed = false;

  /** @internal */
  constructor(private readonly init: WakeUpChannelInit) {}

  /** Name of the pub/sub channel, for scripts that publish: the message is the name to wake. */
  get channel(): string {
    return this.init.channel;
  }

  /** Names somebody in this process listens to. */
  get size(): number {
    return this.sleepers.size;
  }

  /** Listens to a name, or to several at once; keeps a wake-up that comes before the wait. Close it in `finally`. */
  listen(name: string | readonly string[]): WakeUpListener {
    const names = typeof name === 'string' ? [name] : name;
    const sleeper = new Sleeper(this.init.deadlines, this.signals, () => this.remove(names, sleeper));
    if (this.closed) {
      sleeper.close();
      return sleeper;
    }
    for (const each of names) {
      const group = this.sleepers.get(each) ?? new Set();
      this.sleepers.set(each, group.add(sleeper));
    }
    this.attach();
    return sleeper;
  }

  /**
   * Waits for one wake-up. Only what comes after this call wakes it: to look at a condition first, use
   * {@link listen}.
   *
   * @returns as {@link WakeUpListener.wait}
   */
  async wait(name: string, wait: WakeUpWait): Promise<boolean> {
    const listener = this.listen(name);
    try {
      return await listener.wait(wait);
    } finally {
      listener.close();
    }
  }

  /**
   * Wakes everybody who listens to the name, in all processes. One round trip (PUBLISH).
   *
   * @throws the errors of {@link RedisExecutor.run}
   */
  async wake(name: string, options?: CallOptions): Promise<void> {
    const { channel, executor } = this.init;
    await executor().run('wake-up.publish', (client) => client.publish(channel, name), options);
  }

  /** Wakes who listens to the name in this process, for a reason it was told of in another way. @internal */
  wakeHere(name: string): void {
    this.wakeGroup(this.sleepers.get(name));
  }

  /** Ends all waits with `false`. @internal */
  close(): void {
    this.closed = true;
    for (const group of this.sleepers.values()) for (const sleeper of group) sleeper.close();
  }

  private attach(): void {
    this.attached ??= this.init.subscriber.attach(this.init.channel, ({ text }) => this.wakeHere(text), {
      onActive: () => this.sleepers.forEach((group) => this.wakeGroup(group)),
    });
  }

  private wakeGroup(group: ReadonlySet<Sleeper> | undefined): void {
    if (group) for (const sleeper of group) sleeper.wake();
  }

  private remove(names: readonly string[], sleeper: Sleeper): void {
    for (const name of names) {
      const group = this.sleepers.get(name);
      group?.delete(sleeper);
      if (group?.size === 0) this.sleepers.delete(name);
    }
  }
}

/** One listener: asleep, or with a wake-up in hand. */
class Sleeper implements WakeUpListener {
  private woken = false;
  private closed = false;
  private finish: ((woken: boolean) => void) | undefined;

  constructor(
    private readonly deadlines: DeadlineQueue,
    private readonly signals: AbortSignals,
    private readonly onClose: () => void,
  ) {}

  get isClosed(): boolean {
    return this.closed;
  }

  wait({ deadlineMs, signal }: WakeUpWait): Promise<boolean> {
    if (this.finish) throw new Error('This listener is already waited on; call listen() for each waiter');
    if (this.closed || signal?.aborted) return Promise.resolve(false);
    if (this.woken) {
      this.woken = false;
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const onAbort = (): void => this.finish?.(false);
      const deadline = this.deadlines.add(deadlineMs, onAbort);
      const leave = signal && this.signals.follow(signal, onAbort);
      this.finish = (woken) => {
        this.finish = undefined;
        deadline.cancel();
        leave?.();
        resolve(woken);
      };
    });
  }

  wake(): void {
    if (this.finish) this.finish(true);
    else this.woken = true;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.finish?.(false);
    this.onClose();
  }
}
