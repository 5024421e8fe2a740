import { connect, type Socket } from 'node:net';

/** Faults that apply to every connection of a proxy while they are set. */
export interface LinkFaults {
  dropReplies: boolean;
  latencyMs: number;
  /** Bytes of reply after which the first connection to get them is reset. */
  cutReplyAfter: number | undefined;
}

/** What a link adds to. */
export interface LinkCounters {
  resets: number;
  requestBytes: number;
  replyBytes: number;
  droppedBytes: number;
}

/** One connection through a proxy: the client's socket and the one to the server. */
export class ProxyLink {
  private readonly upstream: Socket;
  private readonly timers = new Set<NodeJS.Timeout>();
  private readonly enders: (() => void)[] = [];
  /** Replies whose time came while the link was frozen. */
  private readonly held: Buffer[] = [];
  private frozen = false;
  private ended = false;
  private repliedBytes = 0;
  /** Replies leave in order, also when the latency shrinks meanwhile. */
  private lastReleaseMs = 0;

  constructor(
    private readonly client: Socket,
    target: number,
    private readonly faults: LinkFaults,
    private readonly counters: LinkCounters,
  ) {
    this.upstream = connect(target, '127.0.0.1');
    this.upstream.setNoDelay(true);
    client.setNoDelay(true);
    for (const socket of [client, this.upstream]) {
      socket.on('error', () => undefined);
      socket.once('close', () => this.destroy());
    }
    client.on('data', (chunk: Buffer) => this.request(chunk));
    this.upstream.on('data', (chunk: Buffer) => this.reply(chunk));
  }

  /** Calls back once when the connection is over. */
  onEnd(callback: () => void): void {
    if (this.ended) callback();
    else this.enders.push(callback);
  }

  freeze(): void {
    this.frozen = true;
    this.client.pause();
    this.upstream.pause();
  }

  thaw(): void {
    if (!this.frozen) return;
    this.frozen = false;
    this.client.resume();
    this.upstream.resume();
    for (const chunk of this.held.splice(0)) this.deliver(chunk);
  }

  /** RST to the client; the server sees an ordinary end. */
  reset(): void {
    if (this.ended) return;
    this.counters.resets += 1;
    this.client.resetAndDestroy();
    this.destroy();
  }

  /** Starts counting the bytes of `cutReplyAfter` anew. */
  countFromHere(): void {
    this.repliedBytes = 0;
  }

  destroy(): void {
    if (this.ended) return;
    this.ended = true;
    for (const timer of this.timers) clearTimeout(timer);
    this.client.destroy();
    this.upstream.destroy();
    for (const ender of this.enders) ender();
  }

  private request(chunk: Buffer): void {
    this.counters.requestBytes += chunk.length;
    this.upstream.write(chunk);
  }

  private reply(chunk: Buffer): void {
    if (this.faults.dropReplies) {
      this.counters.droppedBytes += chunk.length;
      return;
    }
    const releaseMs = Math.max(performance.now() + this.faults.latencyMs, this.lastReleaseMs);
    this.lastReleaseMs = releaseMs;
    const waitMs = releaseMs - performance.now();
    if (waitMs <= 0 && this.timers.size === 0) {
      this.deliver(chunk);
      return;
    }
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      this.deliver(chunk);
    }, waitMs);
    this.timers.add(timer);
  }

  private deliver(chunk: Buffer): void {
    if (this.frozen) {
      this.held.push(chunk);
      return;
    }
    const limit = this.faults.cutReplyAfter;
    const room = limit === undefined ? Infinity : limit - this.repliedBytes;
    this.repliedBytes += chunk.length;
    if (chunk.length < room) {
      this.counters.replyBytes += chunk.length;
      this.client.write(chunk);
      return;
    }
    this.faults.cutReplyAfter = undefined;
    this.counters.replyBytes += room;
    // What was written must have left before the reset throws it away.
    this.client.write(chunk.subarray(0, room), () => this.reset());
    this.upstream.pause();
  }
}
