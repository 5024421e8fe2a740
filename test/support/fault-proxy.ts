import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { ProxyLink, type LinkFaults } from './fault-proxy-link.js';

/** What a {@link FaultProxy} has seen since it was created. */
export interface ProxyCounters {
  /** Connections accepted, those that were reset or left unanswered included. */
  accepted: number;
  /** Connections open now. */
  open: number;
  /** Connections the proxy reset. */
  resets: number;
  requestBytes: number;
  replyBytes: number;
  /** Bytes of replies that were thrown away. */
  droppedBytes: number;
}

/**
 * A TCP proxy in front of a server, on a loopback port of its own, that behaves like a broken network.
 * Faults last until {@link heal}; resets are real RST packets, which clients treat unlike an orderly end.
 *
 * @example
 * const proxy = await FaultProxy.listen(server.port);
 * proxy.freezeExisting(); // half-open: old connections stall, new ones work
 */
export class FaultProxy {
  private readonly links = new Set<ProxyLink>();
  private readonly silent = new Set<Socket>();
  private readonly faults: LinkFaults = { dropReplies: false, latencyMs: 0, cutReplyAfter: undefined };
  private readonly counts = { accepted: 0, resets: 0, requestBytes: 0, replyBytes: 0, droppedBytes: 0 };
  private arrival: 'pass' | 'blackhole' | 'reset' = 'pass';

  private constructor(
    private readonly server: Server,
    private target: number,
  ) {
    server.on('connection', (socket) => this.accept(socket));
  }

  /** Opens a proxy in front of a loopback port. */
  static async listen(target: number): Promise<FaultProxy> {
    const server = createServer();
    const proxy = new FaultProxy(server, target);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  /** Port clients connect to. */
  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  get counters(): ProxyCounters {
    return { ...this.counts, open: this.links.size + this.silent.size };
  }

  /** Half-open: nothing moves on the connections that exist, and neither side is told; new ones work. */
  freezeExisting(): void {
    for (const link of this.links) link.freeze();
  }

  /** New connections are accepted and never answered; those that exist go on. */
  blackhole(): void {
    this.arrival = 'blackhole';
  }

  /** New connections are accepted and reset at their first byte; those that exist go on. */
  acceptAndReset(): void {
    this.arrival = 'reset';
  }

  /** Resets every connection now; new ones are accepted as before. */
  reset(): void {
    for (const link of this.links) link.reset();
    for (const socket of this.silent) this.resetSocket(socket);
  }

  /** Requests reach the server, its replies are thrown away. */
  dropReplies(): void {
    this.faults.dropReplies = true;
  }

  /**
   * The next connection that gets `bytes` more bytes of reply gets exactly those, and then a reset.
   * Once; connections after it work.
   */
  cutReplyAt(bytes: number): void {
    this.faults.cutReplyAfter = bytes;
    for (const link of this.links) link.countFromHere();
  }

  /** Replies arrive this much later, in order. Milliseconds; 0 ends it. */
  latency(ms: number): void {
    this.faults.latencyMs = ms;
  }

  /** New connections lead to another loopback port; those that exist keep their server. */
  retarget(port: number): void {
    this.target = port;
  }

  /**
   * Ends every fault. Frozen connections move again; those that fell into the blackhole stay
   * unanswered, as nobody at the other end knows of them.
   */
  heal(): void {
    this.arrival = 'pass';
    this.faults.dropReplies = false;
    this.faults.cutReplyAfter = undefined;
    this.faults.latencyMs = 0;
    for (const link of this.links) link.thaw();
  }

  /** Ends all connections and the proxy. Idempotent. */
  async close(): Promise<void> {
    for (const link of this.links) link.destroy();
    for (const socket of this.silent) socket.destroy();
    if (!this.server.listening) return;
    const closed = once(this.server, 'close');
    this.server.close();
    await closed;
  }

  private accept(socket: Socket): void {
    this.counts.accepted += 1;
    if (this.arrival === 'pass') {
      const link = new ProxyLink(socket, this.target, this.faults, this.counts);
      this.links.add(link);
      link.onEnd(() => this.links.delete(link));
      return;
    }
    this.silent.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => this.silent.delete(socket));
    // Without a reader the end of the connection would go unnoticed.
    socket.on('data', this.arrival === 'reset' ? () => this.resetSocket(socket) : () => undefined);
  }

  private resetSocket(socket: Socket): void {
    if (socket.destroyed) return;
    this.counts.resets += 1;
    socket.resetAndDestroy();
  }
}
