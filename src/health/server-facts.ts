import { isRednestError } from '../common/index.js';
import { RedisCommandError, type RedisClient, type RedisExecutor } from '../redis/index.js';

/** What a server says about itself. */
export interface ServerFacts {
  /** `cluster` when the connection leads to a Cluster, where every node has its own role. */
  readonly role: 'master' | 'replica' | 'cluster' | 'unknown';
  /** Version of Valkey or Redis, such as `9.1.1`; `unknown` when the server does not tell. */
  readonly serverVersion: string;
  /** Why something is `unknown`, and what to do about it. */
  readonly hint?: string;
}

/** How long facts are kept, in milliseconds: a failover shows after at most this time. */
const KEEP_MS = 5_000;

/**
 * Reads role and version of the server behind a connection and keeps them for 5 s. Never rejects:
 * a check must not fail because a restricted user may not ask.
 */
export class ServerFactsReader {
  private readonly known = new WeakMap<
    RedisExecutor,
    { readonly facts: ServerFacts; readonly untilMs: number }
  >();

  /** Facts of the server; two commands in one round trip when none are kept, else none. */
  async read(executor: RedisExecutor, deadlineMs: number): Promise<ServerFacts> {
    const kept = this.known.get(executor);
    if (kept && kept.untilMs > performance.now()) return kept.facts;
    try {
      const facts = await executor.run('health.info', readFacts, { deadlineMs });
      this.keep(executor, facts);
      return facts;
    } catch (error) {
      const facts = unknownFacts(error);
      // A refusal stays a refusal; a timeout says nothing about the next time.
      if (error instanceof RedisCommandError) this.keep(executor, facts);
      return facts;
    }
  }

  private keep(executor: RedisExecutor, facts: ServerFacts): void {
    this.known.set(executor, { facts, untilMs: performance.now() + KEEP_MS });
  }
}

async function readFacts(client: RedisClient): Promise<ServerFacts> {
  const [server, replication] = await Promise.all([client.info('server'), client.info('replication')]);
  return { role: client.isCluster ? 'cluster' : parseRole(replication), serverVersion: parseVersion(server) };
}

function unknownFacts(error: unknown): ServerFacts {
  const hint =
    error instanceof RedisCommandError && error.reply === 'NOPERM'
      ? 'NOPERM: the ACL user may not run INFO; grant it +info to see role and version'
      : `INFO was not answered (${isRednestError(error) ? error.code : 'ERR_UNKNOWN'})`;
  return { role: 'unknown', serverVersion: 'unknown', hint };
}

/** Role in the reply of `INFO replication`, in today's words. */
export function parseRole(info: string): ServerFacts['role'] {
  const role = field(info, 'role');
  if (role === 'slave' || role === 'replica') return 'replica';
  return role === 'master' ? 'master' : 'unknown';
}

/** Version in the reply of `INFO server`; Valkey's own where it names one. */
export function parseVersion(info: string): string {
  return field(info, 'valkey_version') ?? field(info, 'redis_version') ?? 'unknown';
}

function field(info: string, name: string): string | undefined {
  const value = new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];
  return value === '' ? undefined : value;
}
