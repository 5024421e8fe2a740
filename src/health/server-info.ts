/** What one server says about itself in INFO. Holds no secret: INFO has none. */
export interface ServerReport {
  /** `host:port` of a Cluster master; absent elsewhere, where the place is part of the result. */
  readonly address?: string;
  /** In today's words; the server itself still says `slave`. */
  readonly role: 'master' | 'replica' | 'unknown';
  /** Of Valkey where it says so, else of Redis. */
  readonly version: string;
  /** New with every start of the server process. */
  readonly runId: string;
  /** Since the start of the server process, in milliseconds. */
  readonly uptimeMs: number;
  /** Whether it still loads its data, also in the background after a full synchronisation. */
  readonly loading: boolean;
  /** Role in the replication, and how far behind. */
  readonly replication: ReplicationReport;
  /** Memory in use and its bound. */
  readonly memory: MemoryReport;
  /** Snapshots and append-only file. */
  readonly persistence: PersistenceReport;
  /** Connections of all clients of the server. */
  readonly clients: ClientsReport;
}

/** Replication as seen from the server that was asked. */
export interface ReplicationReport {
  /** A master's replicas that are connected and in step. */
  readonly replicas?: number;
  /** A replica's link to its master. */
  readonly masterLink?: 'up' | 'down';
  /** `host:port` of a replica's master. */
  readonly master?: string;
  /** Whether a replica refuses writes. */
  readonly readOnly?: boolean;
  /**
   * Milliseconds, in steps of 1 s. Replica: since the last word of its master, or since the link broke.
   * Master: since the last confirmation of its slowest replica; absent without replicas.
   */
  readonly lagMs?: number;
  /** Bytes of the replication stream a replica has not applied yet; of the slowest one on a master. */
  readonly lagBytes?: number;
}

/** Memory and what happens when it is full. */
export interface MemoryReport {
  /** Memory the data takes, in bytes. */
  readonly usedBytes: number;
  /** `null`: no limit. */
  readonly maxBytes: number | null;
  /** Eviction policy, such as `noeviction`. */
  readonly policy: string;
  /** Since the server started. */
  readonly evictedKeys: number;
}

/** Whether what is written survives a restart. */
export interface PersistenceReport {
  /** Result of the last snapshot; `ok` also when there was none. */
  readonly rdb: 'ok' | 'error';
  /** Append-only file: off, or whether its last write and rewrite worked. */
  readonly aof: 'off' | 'ok' | 'error';
  /** Changes a crash would lose without an append-only file. */
  readonly unsavedChanges: number;
}

/** Connections the server holds, of all its users. */
export interface ClientsReport {
  /** Clients connected now. */
  readonly connected: number;
  /** Clients the server accepts. */
  readonly max: number;
  /** Refused because of `maxclients`, since the server started. */
  readonly rejected: number;
}

/** Reads the reply of INFO. What the server leaves out counts as 0, `ok` or `unknown`. */
export function parseInfo(text: string): ServerReport {
  const fields = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon > 0 && colon < line.length - 1) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  const number = (name: string) => toNumber(fields.get(name));
  const role = parseRole(fields.get('role'));
  return {
    role,
    version: fields.get('valkey_version') ?? fields.get('redis_version') ?? 'unknown',
    runId: fields.get('run_id') ?? 'unknown',
    uptimeMs: number('uptime_in_seconds') * 1000,
    loading: number('loading') > 0 || number('async_loading') > 0,
    replication: role === 'replica' ? replicaReplication(fields) : masterReplication(fields),
    memory: {
      usedBytes: number('used_memory'),
      maxBytes: number('maxmemory') || null,
      policy: fields.get('maxmemory_policy') ?? 'unknown',
      evictedKeys: number('evicted_keys'),
    },
    persistence: persistence(fields),
    clients: {
      connected: number('connected_clients'),
      max: number('maxclients'),
      rejected: number('rejected_connections'),
    },
  };
}

/** Role in today's words. */
export function parseRole(role: string | undefined): ServerReport['role'] {
  if (role === 'slave' || role === 'replica') return 'replica';
  return role === 'master' ? 'master' : 'unknown';
}

type Fields = ReadonlyMap<string, string>;

function replicaReplication(fields: Fields): ReplicationReport {
  const isUp = fields.get('master_link_status') === 'up';
  const silentSeconds = fields.get(isUp ? 'master_last_io_seconds_ago' : 'master_link_down_since_seconds');
  const read = fields.get('slave_read_repl_offset');
  return {
    masterLink: isUp ? 'up' : 'down',
    master: `${fields.get('master_host')}:${fields.get('master_port')}`,
    readOnly: fields.get('slave_read_only') !== '0',
    // -1: it was never connected.
    lagMs: Math.max(0, toNumber(silentSeconds)) * 1000,
    ...(read === undefined
      ? {}
      : { lagBytes: Math.max(0, toNumber(read) - toNumber(fields.get('slave_repl_offset'))) }),
  };
}

function masterReplication(fields: Fields): ReplicationReport {
  const replicas = [...fields]
    .filter(([name]) => /^(slave|replica)\d+$/.test(name))
    .map(([, value]) => new Map(value.split(',').map((pair) => pair.split('=') as [string, string])))
    .filter((replica) => replica.get('state') === 'online');
  if (replicas.length === 0) return { replicas: 0 };
  const offset = toNumber(fields.get('master_repl_offset'));
  const worst = (values: number[]) => Math.max(0, ...values);
  return {
    replicas: replicas.length,
    lagMs: worst(replicas.map((replica) => toNumber(replica.get('lag')))) * 1000,
    lagBytes: worst(replicas.map((replica) => offset - toNumber(replica.get('offset')))),
  };
}

function persistence(fields: Fields): PersistenceReport {
  const isOk = (name: string) => (fields.get(name) ?? 'ok') === 'ok';
  const aofOk = isOk('aof_last_write_status') && isOk('aof_last_bgrewrite_status');
  return {
    rdb: isOk('rdb_last_bgsave_status') ? 'ok' : 'error',
    aof: fields.get('aof_enabled') === '1' ? (aofOk ? 'ok' : 'error') : 'off',
    unsavedChanges: toNumber(fields.get('rdb_changes_since_last_save')),
  };
}

function toNumber(value: string | undefined): number {
  const number = Number(value ?? 0);
  return Number.isFinite(number) ? number : 0;
}
