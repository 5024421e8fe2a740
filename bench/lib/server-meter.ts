import { Redis } from 'ioredis';

/** Counters of a server since it started. */
export interface ServerCounters {
  /** Times the server read from a socket. One request in flight: one read per round trip. */
  readonly reads: number;
  /** Commands run, those inside scripts included. */
  readonly commands: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** CPU time of the server's process in microseconds. */
  readonly cpuUs: number;
}

const FIELDS = {
  reads: ['total_reads_processed'],
  commands: ['total_commands_processed'],
  bytesIn: ['total_net_input_bytes'],
  bytesOut: ['total_net_output_bytes'],
  cpuUs: ['used_cpu_user', 'used_cpu_sys'],
} as const satisfies Record<keyof ServerCounters, readonly string[]>;

const NAMES = Object.keys(FIELDS) as (keyof ServerCounters)[];

/** Reads a server's counters on a connection of its own and takes out what reading costs. */
export class ServerMeter {
  private constructor(
    private readonly redis: Redis,
    /** Name and version, such as `redis 7.0.15`. */
    readonly version: string,
  ) {}

  /** Connects, and fails when the server does not report what is measured. */
  static async connect(url: string): Promise<ServerMeter> {
    const redis = new Redis(url, { connectionName: 'bench:meter', commandTimeout: 5000, lazyConnect: true });
    redis.on('error', () => undefined);
    await redis.connect();
    const info = await redis.info();
    const valkey = field(info, 'valkey_version');
    const version = valkey ? `valkey ${valkey}` : `redis ${field(info, 'redis_version') ?? 'unknown'}`;
    return new ServerMeter(redis, version);
  }

  /** What `work` made the server do; everything else must be quiet meanwhile. */
  async during<T>(work: () => Promise<T>): Promise<{ result: T; counters: ServerCounters }> {
    const idle = await this.read();
    const before = await this.read();
    const result = await work();
    const after = await this.read();
    // One reading lies in either interval, so the difference of the intervals is the work alone.
    return { result, counters: subtract(subtract(after, before), subtract(before, idle)) };
  }

  /** Removes all keys. The benchmark owns the server, nobody else uses it. */
  async clear(): Promise<void> {
    await this.redis.flushall('SYNC');
  }

  /** Ends the connection. */
  close(): void {
    this.redis.disconnect();
  }

  private async read(): Promise<ServerCounters> {
    const info = await this.redis.info();
    const sum = (name: keyof ServerCounters) =>
      FIELDS[name].reduce((total, key) => total + Number(field(info, key) ?? NaN), 0);
    return { ...byName(sum), cpuUs: sum('cpuUs') * 1e6 };
  }
}

function field(info: string, name: string): string | undefined {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];
}

function subtract(a: ServerCounters, b: ServerCounters): ServerCounters {
  return byName((name) => a[name] - b[name]);
}

function byName(value: (name: keyof ServerCounters) => number): ServerCounters {
  return Object.fromEntries(NAMES.map((name) => [name, value(name)])) as unknown as ServerCounters;
}
