import type { ResolvedHealthThresholds } from './health.options.js';
import type { ObservedServer } from './server-facts.js';

/** Limits for one connection. @internal */
export type Limits = ResolvedHealthThresholds & { readonly evictionsPerMinute: number };

/**
 * Why a server that answers is not well, one sentence each; empty when it is. Sentences about a
 * Cluster begin with the node.
 *
 * @internal
 */
export function reasonsOf(server: ObservedServer, limits: Limits): string[] {
  const reasons = [
    ...(server.loading ? ['the server loads its data'] : []),
    ...replicationReasons(server, limits),
    ...memoryReasons(server, limits),
    ...persistenceReasons(server),
    ...clientReasons(server, limits),
  ];
  return server.address === undefined ? reasons : reasons.map((reason) => `${server.address}: ${reason}`);
}

function replicationReasons({ role, replication }: ObservedServer, limits: Limits): string[] {
  return role === 'replica' ? replicaReasons(replication, limits) : masterReasons(replication, limits);
}

type Replication = ObservedServer['replication'];

function replicaReasons(
  { master, masterLink, readOnly, lagMs = 0, lagBytes = 0 }: Replication,
  limits: Limits,
): string[] {
  const reasons: string[] = [];
  if (readOnly) reasons.push(`the server is a read-only replica of ${master}: writes are refused`);
  if (masterLink === 'down') {
    reasons.push(`the link to its master ${master} has been down for ${seconds(lagMs)}: its data is old`);
  } else if (lagMs > limits.replicationLagMs) {
    reasons.push(`it has heard nothing from its master for ${seconds(lagMs)}`);
  }
  if (lagBytes > limits.replicationLagBytes) reasons.push(`it is ${mebibytes(lagBytes)} behind its master`);
  return reasons;
}

function masterReasons({ replicas = 0, lagMs = 0, lagBytes = 0 }: Replication, limits: Limits): string[] {
  const reasons: string[] = [];
  if (replicas < limits.minReplicas) {
    reasons.push(`${replicas} of ${limits.minReplicas} replicas are in step: a failover may lose writes`);
  }
  if (lagMs > limits.replicationLagMs) {
    reasons.push(`its slowest replica has confirmed nothing for ${seconds(lagMs)}`);
  }
  if (lagBytes > limits.replicationLagBytes) {
    reasons.push(`its slowest replica is ${mebibytes(lagBytes)} behind`);
  }
  return reasons;
}

function memoryReasons({ memory, recent }: ObservedServer, limits: Limits): string[] {
  const { usedBytes, maxBytes, policy } = memory;
  const reasons: string[] = [];
  // A cache that evicts is full all the time; that is not a fault of its memory.
  if (policy === 'noeviction' && maxBytes !== null && usedBytes >= maxBytes * limits.memory) {
    const share = Math.floor((usedBytes / maxBytes) * 100);
    reasons.push(
      `${share} % of maxmemory is used and nothing is evicted: writes are refused when it is full`,
    );
  }
  const minutes = Math.max(1, recent.overMs / 60_000);
  if (recent.evictedKeys > limits.evictionsPerMinute * minutes) {
    const span = seconds(recent.overMs);
    reasons.push(
      `${recent.evictedKeys} keys were evicted in ${span} (${policy}): jobs, locks and sessions can vanish`,
    );
  }
  return reasons;
}

function persistenceReasons({ persistence }: ObservedServer): string[] {
  const reasons: string[] = [];
  if (persistence.rdb === 'error') reasons.push('the last snapshot (RDB) failed: see the log of the server');
  if (persistence.aof === 'error') {
    reasons.push('the append-only file could not be written or rewritten: see the log of the server');
  }
  return reasons;
}

function clientReasons({ clients, recent }: ObservedServer, limits: Limits): string[] {
  const { connected, max } = clients;
  const reasons: string[] = [];
  const refused = recent.rejectedConnections;
  const minutes = Math.max(1, recent.overMs / 60_000);
  if (refused > limits.rejectionsPerMinute * minutes) {
    reasons.push(`${refused} connections were refused in ${seconds(recent.overMs)} (maxclients ${max})`);
  }
  if (max > 0 && connected >= max * limits.clients) {
    reasons.push(`${connected} of ${max} client connections are in use`);
  }
  return reasons;
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
