import { isRednestError } from '../common/index.js';
import { RedisCommandError, type RedisClient, type RedisExecutor } from '../redis/index.js';
import { askMasters, isClusterClient, type ClusterClient } from './cluster-masters.js';
import { CounterHistory, type RecentCounts } from './counter-history.js';
import { parseInfo, parseRole, type ServerReport } from './server-info.js';
import { isReply } from './settle-within.js';

/** What is known about the server behind a connection. */
export interface ServerFacts {
  /** `cluster` when the connection leads to a Cluster, where every node has its own role. */
  readonly role: 'master' | 'replica' | 'cluster' | 'unknown';
  /** Version of Valkey or Redis, such as `9.1.1`; `unknown` when the server does not tell. */
  readonly serverVersion: string;
  /** Why something is not known, and what to do about it. */
  readonly hint?: string;
}

/** {@link ServerReport} with what happened of late. */
export interface ObservedServer extends ServerReport {
  /** Keys evicted and connections refused in about the last minute. */
  readonly recent: RecentCounts;
  /** Milliseconds since another server process was found here: a restart or a failover. */
  readonly changedMsAgo?: number;
}

/** {@link ServerFacts} and the reports they come from: one, or one per master of a Cluster. */
export interface KnownFacts extends ServerFacts {
  readonly servers: readonly ObservedServer[];
}

interface Memory {
  kept?: { readonly facts: KnownFacts; readonly untilMs: number };
  histories: Map<string, CounterHistory>;
}

/**
 * Asks the server behind a connection for INFO and keeps the answer. Never rejects: a check must not
 * fail because a restricted user may not ask.
 */
export class ServerFactsReader {
  private readonly memories = new WeakMap<RedisExecutor, Memory>();

  /** @param keepMs how long facts are kept: a failover shows after at most this time */
  constructor(private readonly keepMs: number) {}

  /** Facts of the server; one command, one per master of a Cluster, when none are kept, else none. */
  async read(executor: RedisExecutor, deadlineMs: number): Promise<KnownFacts> {
    const memory = this.memoryOf(executor);
    if (memory.kept && memory.kept.untilMs > performance.now()) return memory.kept.facts;
    try {
      const call = (client: RedisClient) => readReports(client, deadlineMs);
      const reports = await executor.run('health.info', call, { deadlineMs });
      return this.keep(memory, describe(observe(memory, reports)));
    } catch (error) {
      if (!(error instanceof RedisCommandError)) return unknownFacts(error);
      // A refusal stays a refusal; a timeout says nothing about the next time.
      return this.keep(memory, { ...unknownFacts(error), ...(await greet(executor, deadlineMs)) });
    }
  }

  private memoryOf(executor: RedisExecutor): Memory {
    let memory = this.memories.get(executor);
    if (!memory) this.memories.set(executor, (memory = { histories: new Map() }));
    return memory;
  }

  private keep(memory: Memory, facts: KnownFacts): KnownFacts {
    memory.kept = { facts, untilMs: performance.now() + this.keepMs };
    return facts;
  }
}

function describe(servers: readonly ObservedServer[]): KnownFacts {
  const [first] = servers;
  const role = first?.address === undefined ? (first?.role ?? 'unknown') : 'cluster';
  return { role, serverVersion: first?.version ?? 'unknown', servers };
}

async function readReports(client: RedisClient, deadlineMs: number): Promise<ServerReport[]> {
  return isClusterClient(client) ? readMasters(client, deadlineMs) : [parseInfo(await client.info())];
}

/** Masters that do not answer are reported by the sign of life; here they are left out. */
async function readMasters(client: ClusterClient, deadlineMs: number): Promise<ServerReport[]> {
  const replies = await askMasters(client, deadlineMs, (node) => node.info());
  const reports = replies.flatMap(({ address, reply }) =>
    reply.status === 'answered' ? [{ ...parseInfo(reply.value), address }] : [],
  );
  if (reports.length > 0) return reports;
  const errors = replies.flatMap(({ reply }) => (reply.status === 'failed' ? [reply.error] : []));
  throw errors.find(isReply) ?? errors[0] ?? new Error('Connection is closed.');
}

/** Histories of nodes that have left are dropped with the old map. */
function observe(memory: Memory, reports: readonly ServerReport[]): ObservedServer[] {
  const nowMs = performance.now();
  const previous = memory.histories;
  memory.histories = new Map();
  return reports.map((report) => {
    const name = report.address ?? '';
    const history = previous.get(name) ?? new CounterHistory();
    memory.histories.set(name, history);
    const recent = history.add(report, nowMs);
    const { serverChangedAtMs: atMs } = history;
    return { ...report, recent, ...(atMs === undefined ? {} : { changedMsAgo: Math.round(nowMs - atMs) }) };
  });
}

/**
 * Role and version from HELLO, which every user may run on its own connection. Empty when it does
 * not help.
 */
async function greet(executor: RedisExecutor, deadlineMs: number): Promise<Partial<ServerFacts>> {
  try {
    const call = (client: RedisClient) =>
      isClusterClient(client) ? Promise.resolve({}) : client.call('HELLO');
    const fields = toMap(await executor.run('health.hello', call, { deadlineMs }));
    const serverVersion = fields.get('version');
    const role = parseRole(fields.get('role'));
    return { ...(role === 'unknown' ? {} : { role }), ...(serverVersion ? { serverVersion } : {}) };
  } catch {
    return {};
  }
}

/** A RESP3 map arrives as an object or as a flat list, depending on the client's settings. */
function toMap(reply: unknown): Map<string, string> {
  if (!Array.isArray(reply)) return new Map(Object.entries((reply ?? {}) as Record<string, string>));
  const fields = new Map<string, string>();
  for (let i = 0; i + 1 < reply.length; i += 2) fields.set(String(reply[i]), String(reply[i + 1]));
  return fields;
}

function unknownFacts(error: unknown): KnownFacts {
  return { role: 'unknown', serverVersion: 'unknown', hint: hintOf(error), servers: [] };
}

function hintOf(error: unknown): string {
  if (!(error instanceof RedisCommandError)) {
    return `INFO was not answered (${isRednestError(error) ? error.code : 'ERR_UNKNOWN'})`;
  }
  return error.reply === 'NOPERM'
    ? 'NOPERM: the ACL user may not run INFO; grant it +info to see replication, memory, persistence and clients'
    : `INFO was refused (${error.reply}); replication, memory, persistence and clients are not known`;
}
