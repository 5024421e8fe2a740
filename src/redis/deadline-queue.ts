/**
 * A deadline that is pending in a {@link DeadlineQueue}. Calls extend it, so that a call and its
 * deadline are one object.
 */
export abstract class Deadline {
  /** @internal */
  lane: Lane | undefined;
  /** @internal */
  previous: Deadline | undefined;
  /** @internal */
  next: Deadline | undefined;
  /** Monotonic time at which it expires, in milliseconds. */
  expiresAtMs = 0;

  /**
   * The time is over.
   *
   * @param stalledMs how long the event loop had been blocked when that was noticed
   */
  abstract expire(stalledMs: number): void;

  /** Forgets the deadline. Safe to call more than once. */
  cancel(): void {
    this.lane?.remove(this);
  }
}

class CallbackDeadline extends Deadline {
  constructor(private readonly callback: (stalledMs: number) => void) {
    super();
  }

  override expire(stalledMs: number): void {
    this.callback(stalledMs);
  }
}

/**
 * Deadlines of equal length expire in the order they were added, so each length needs one timer
 * for its oldest entry instead of a timer per call. Adding and cancelling are O(1).
 *
 * Answers that came in time may lie unread in the socket, as timers run before sockets are read: deadlines
 * expire at the end of the turn in which their time is over.
 */
export class DeadlineQueue {
  private readonly lanes = new Map<number, Lane>();

  /** Calls `onExpire` after `ms` milliseconds of monotonic time unless cancelled before. */
  add(ms: number, onExpire: (stalledMs: number) => void): Deadline {
    return this.start(new CallbackDeadline(onExpire), ms);
  }

  /** Starts a deadline of `ms` milliseconds. */
  start<T extends Deadline>(entry: T, ms: number): T {
    let lane = this.lanes.get(ms);
    if (!lane) this.lanes.set(ms, (lane = new Lane(ms, () => this.lanes.delete(ms))));
    lane.add(entry);
    return entry;
  }

  /** Expires everything that is pending. */
  expireAll(): void {
    for (const lane of this.lanes.values()) lane.expireUntil(Infinity, 0);
  }
}

/** The event loop counts as blocked when a timer is late by this share of its length. */
const STALL_SHARE = 0.5;

/** Node runs a longer timer after 1 ms; a longer deadline is reached in several steps. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Deadlines of one length. */
class Lane {
  private head: Deadline | undefined;
  private tail: Deadline | undefined;
  private timer: NodeJS.Timeout | undefined;
  private dueAtMs = 0;

  constructor(
    private readonly ms: number,
    /** Called when nothing is pending any more; lengths that are used once must not pile up. */
    private readonly onIdle: () => void,
  ) {}

  add(entry: Deadline): void {
    entry.lane = this;
    entry.expiresAtMs = performance.now() + this.ms;
    if (this.tail) {
      this.tail.next = entry;
      entry.previous = this.tail;
    } else {
      this.head = entry;
    }
    this.tail = entry;
    if (!this.timer) this.arm(entry.expiresAtMs);
  }

  remove(entry: Deadline): void {
    const { previous, next } = entry;
    if (previous) previous.next = next;
    else this.head = next;
    if (next) next.previous = previous;
    else this.tail = previous;
    entry.lane = entry.previous = entry.next = undefined;
  }

  expireUntil(nowMs: number, stalledMs: number): void {
    // Negated, so that a length that is not a number expires at once instead of never.
    while (this.head && !(this.head.expiresAtMs > nowMs)) {
      const entry = this.head;
      this.remove(entry);
      entry.expire(stalledMs);
    }
  }

  private arm(dueAtMs: number): void {
    this.dueAtMs = dueAtMs;
    const waitMs = Math.min(Math.max(1, Math.ceil(dueAtMs - performance.now())), MAX_TIMER_MS);
    this.timer = setTimeout(() => this.onTimer(), waitMs);
    this.timer.unref();
  }

  /** The timer outlives cancelled entries: restarting it per call is what this class avoids. */
  private onTimer(): void {
    const nowMs = performance.now();
    const lateMs = nowMs - this.dueAtMs;
    const stalledMs = lateMs > this.ms * STALL_SHARE ? lateMs : 0;
    setImmediate(() => this.finish(nowMs, stalledMs));
  }

  private finish(nowMs: number, stalledMs: number): void {
    this.expireUntil(nowMs, stalledMs);
    // Only now: what is added by those that expire must not start a second timer.
    this.timer = undefined;
    if (this.head) this.arm(this.head.expiresAtMs);
    else this.onIdle();
  }
}
