import type { Redis } from 'ioredis';

/** Times of a {@link Heartbeat}. */
export interface HeartbeatOptions {
  /** Time from one PING to the next, in milliseconds. @default 1000 */
  everyMs: number;
  /** How long an answer may take, in milliseconds. @default 800 */
  deadlineMs: number;
}

/** Defaults of {@link HeartbeatOptions}: a dead socket is noticed within 1.8 s. */
export const HEARTBEAT_DEFAULTS: Readonly<HeartbeatOptions> = Object.freeze({
  everyMs: 1000,
  deadlineMs: 800,
});

/** A timer that fires later than this share of the deadline shows that the event loop was blocked. */
const STALL_SHARE = 0.5;

/** Error a socket is destroyed with when nothing came back in time; its code is shown in the log. */
class HeartbeatError extends Error {
  override readonly name = 'HeartbeatError';
  readonly code = 'HEARTBEAT_TIMEOUT';

  constructor(deadlineMs: number) {
    super(`No answer to PING within ${deadlineMs} ms`);
  }
}

/**
 * Finds sockets that are open on this side only. A connection that just listens never writes, so
 * nothing else would notice that its peer is gone: no error, no event, no messages. A PING that gets
 * no answer destroys the socket, and the client connects again.
 *
 * Bytes that arrive count as life: an answer may wait behind a flood of messages. When the event loop
 * was blocked, the answer may lie unread in the socket; it gets one more turn of the loop.
 */
export class Heartbeat {
  private timer: NodeJS.Timeout | undefined;
  private turn: NodeJS.Immediate | undefined;
  private provenMs = performance.now();
  private missed = 0;
  private stopped = false;

  constructor(
    private readonly client: Redis,
    private readonly options: Readonly<HeartbeatOptions> = HEARTBEAT_DEFAULTS,
  ) {
    client.on('ready', this.onReady);
    client.on('close', this.rest);
    client.on('end', this.rest);
    if (client.status === 'ready') this.onReady();
  }

  /**
   * Monotonic time up to which everything the server sent has arrived: when the last PING that was
   * answered left, or the connection became ready. An answer follows all that was sent before it.
   */
  get provenAtMs(): number {
    return this.provenMs;
  }

  /** Sockets destroyed because no answer came. */
  get timeouts(): number {
    return this.missed;
  }

  /** Ends it for good. Idempotent. */
  stop(): void {
    this.stopped = true;
    this.rest();
    for (const event of ['close', 'end']) this.client.off(event, this.rest);
    this.client.off('ready', this.onReady);
  }

  private readonly onReady = (): void => {
    this.rest();
    this.provenMs = performance.now();
    this.beatAfter(this.options.everyMs);
  };

  private readonly rest = (): void => {
    clearTimeout(this.timer);
    clearImmediate(this.turn);
  };

  private beatAfter(ms: number): void {
    this.timer = setTimeout(() => this.beat(), Math.max(1, ms)).unref();
  }

  private beat(): void {
    const { client, options } = this;
    if (client.status !== 'ready') return;
    const sentAtMs = performance.now();
    const { stream } = client;
    const answered = (): void => {
      // An answer of a socket that was given up says nothing about the present one.
      if (this.stopped || client.stream !== stream) return;
      this.rest();
      this.provenMs = sentAtMs;
      this.beatAfter(sentAtMs + options.everyMs - performance.now());
    };
    // Another failure needs no handling: the socket has closed, or the deadline below decides.
    client.ping().then(answered, (error: unknown) => {
      if (isRefusal(error)) answered();
    });
    this.expectLife(stream);
  }

  /** Gives up the socket unless something arrives on it within the deadline. */
  private expectLife(stream: Redis['stream']): void {
    const { deadlineMs } = this.options;
    const bytes = stream.bytesRead;
    const dueAtMs = performance.now() + deadlineMs;
    const decide = (): void => {
      if (stream.bytesRead > bytes) this.expectLife(stream);
      else this.giveUp(stream);
    };
    this.timer = setTimeout(() => {
      const lateMs = performance.now() - dueAtMs;
      if (lateMs > deadlineMs * STALL_SHARE) this.turn = setImmediate(decide);
      else decide();
    }, deadlineMs).unref();
  }

  /** `disconnect` would say goodbye first and wait for the peer, which is not there. */
  private giveUp(stream: Redis['stream']): void {
    this.missed += 1;
    stream.destroy(new HeartbeatError(this.options.deadlineMs));
  }
}

/** A server that cannot save its data refuses PING, and so may an ACL; that is an answer like any other. */
function isRefusal(error: unknown): boolean {
  return (error as Partial<Error> | undefined)?.name === 'ReplyError';
}
