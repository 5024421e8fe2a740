/** One pending deadline; `cancel` it when the call ends in time. */
export class Deadline {
  previous: Deadline | undefined;
  next: Deadline | undefined;

  constructor(
    private readonly lane: Lane,
    readonly expiresAtMs: number,
    readonly onExpire: () => void,
  ) {}

  /** Forgets the deadline. Safe to call more than once. */
  cancel(): void {
    this.lane.remove(this);
  }
}

/**
 * Deadlines of equal length expire in the order they were added, so each length needs one timer
 * for its oldest entry instead of a timer per call. Adding and cancelling are O(1).
 */
export class DeadlineQueue {
  private readonly lanes = new Map<number, Lane>();

  /** Calls `onExpire` after `ms` milliseconds of monotonic time unless cancelled before. */
  add(ms: number, onExpire: () => void): Deadline {
    let lane = this.lanes.get(ms);
    if (!lane) this.lanes.set(ms, (lane = new Lane(ms)));
    return lane.add(onExpire);
  }

  /** Expires everything that is pending. */
  expireAll(): void {
    for (const lane of this.lanes.values()) lane.expireUntil(Infinity);
  }
}

class Lane {
  private head: Deadline | undefined;
  private tail: Deadline | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly ms: number) {}

  add(onExpire: () => void): Deadline {
    const entry = new Deadline(this, performance.now() + this.ms, onExpire);
    if (this.tail) {
      this.tail.next = entry;
      entry.previous = this.tail;
    } else {
      this.head = entry;
    }
    this.tail = entry;
    if (!this.timer) this.arm(this.ms);
    return entry;
  }

  remove(entry: Deadline): void {
    const { previous, next } = entry;
    if (!previous && !next && this.head !== entry) return;
    if (previous) previous.next = next;
    else this.head = next;
    if (next) next.previous = previous;
    else this.tail = previous;
    entry.previous = entry.next = undefined;
  }

  expireUntil(nowMs: number): void {
    while (this.head && this.head.expiresAtMs <= nowMs) {
      const entry = this.head;
      this.remove(entry);
      entry.onExpire();
    }
  }

  private arm(ms: number): void {
    this.timer = setTimeout(() => this.onTimer(), Math.max(1, Math.ceil(ms)));
    this.timer.unref();
  }

  /** The timer outlives cancelled entries: restarting it per call is what this class avoids. */
  private onTimer(): void {
    this.timer = undefined;
    this.expireUntil(performance.now());
    if (this.head) this.arm(this.head.expiresAtMs - performance.now());
  }
}
