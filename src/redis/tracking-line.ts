import type { Redis } from 'ioredis';
import { toCallError } from './error-mapping.js';
import { Heartbeat } from './heartbeat.js';
import type { ManagedConnection } from './managed-connection.js';
import { RedisCommandError } from './redis.errors.js';
import { takeOverSubscriptions } from './subscriber-client.js';
import type { SubscriptionFaults } from './subscriber-faults.js';

/** Channel on which the server sends invalidations to clients that speak RESP2. */
const INVALIDATIONS = '__redis__:invalidate';

/** What a {@link TrackingLine} is built from. */
export interface TrackingLineInit {
  readonly link: ManagedConnection;
  /** Start of the keys to be told about. */
  readonly prefixes: readonly string[];
  readonly faults: SubscriptionFaults;
  onArmed(): void;
  onDisarmed(): void;
  /** `null`: everything may have changed. */
  onInvalidation(keys: readonly Buffer[] | null): void;
}

/** One connection on which one server tells of its changes; arms itself each time it is ready. */
export class TrackingLine {
  private readonly client: Redis;
  private readonly heartbeat: Heartbeat;
  private epoch = 0;
  private armed = false;
  private stopped = false;

  constructor(private readonly init: TrackingLineInit) {
    const { link } = init;
    const client = takeOverSubscriptions(link.client, link.connection);
    this.client = client;
    this.heartbeat = new Heartbeat(client);
    client.on('messageBuffer', (_channel: Buffer, keys: unknown) => this.onMessage(keys));
    client.on('ready', () => void this.arm());
    client.on('close', () => {
      this.epoch += 1;
      this.disarm();
    });
    link.open();
    if (client.status === 'ready') void this.arm();
  }

  /** Whether the server tells of every change. */
  get isArmed(): boolean {
    return this.armed;
  }

  /** Sockets given up because a PING got no answer. */
  get timeouts(): number {
    return this.heartbeat.timeouts;
  }

  /** Ends it without another word; the connection itself is closed by who opened it. */
  stop(): void {
    this.stopped = true;
    this.armed = false;
    this.heartbeat.stop();
  }

  /** A RESP2 connection that has subscribed takes no other command, so tracking comes first. */
  private async arm(): Promise<void> {
    const { epoch, client } = this;
    const prefixes = this.init.prefixes.flatMap((prefix) => ['PREFIX', prefix]);
    try {
      const id = await client.client('ID');
      await client.call('CLIENT', 'TRACKING', 'ON', 'REDIRECT', String(id), 'BCAST', ...prefixes);
      await client.subscribe(INVALIDATIONS);
    } catch (error) {
      if (epoch === this.epoch) this.failed(error);
      return;
    }
    if (epoch !== this.epoch || this.stopped) return;
    this.armed = true;
    this.init.onArmed();
  }

  /** What the server refuses it refuses again; anything else is tried again on a new socket. */
  private failed(cause: unknown): void {
    const { link, faults } = this.init;
    const { connection } = link;
    const error = toCallError(cause, { connection, operation: 'tracking.arm', deadlineMs: 0 });
    if (error instanceof RedisCommandError) faults.report('client-side tracking', error);
    else this.client.stream?.destroy();
  }

  private onMessage(keys: unknown): void {
    if (this.armed) this.init.onInvalidation(Array.isArray(keys) ? (keys as Buffer[]) : null);
  }

  private disarm(): void {
    if (!this.armed) return;
    this.armed = false;
    this.init.onDisarmed();
  }
}
