import { isRednestError } from '../common/index.js';
import {
  RedisCommandError,
  RedisUnavailableError,
  type ConnectionRegistry,
  type ManagedConnection,
  type RedisExecutor,
} from '../redis/index.js';
import { isClusterClient, readCluster, type ClusterReport } from './cluster-masters.js';
import type { Criticality } from './criticality.js';
import type { ResolvedRedisHealthOptions } from './health.options.js';
import { ServerFactsReader, type KnownFacts } from './server-facts.js';
import { reasonsOf } from './server-reasons.js';

/** What an examination found. @internal */
export interface Examination {
  /** Whether the server answered and serves. */
  readonly connected: boolean;
  readonly latencyMs?: number;
  readonly facts?: KnownFacts;
  readonly cluster?: ClusterReport;
  /** What is wrong, one sentence each. */
  readonly reasons: readonly string[];
  /** Time it took, in milliseconds. */
  readonly tookMs: number;
}

/** A sign of life. */
interface Pulse {
  readonly latencyMs: number;
  readonly cluster?: ClusterReport;
  readonly reasons: readonly string[];
}

const SLOTS = 16_384;

/** Replies to PING that show a server which is there and serves reads. */
const HALF_REFUSALS: Readonly<Record<string, string>> = Object.freeze({
  MISCONF: 'the server refuses writes because it cannot save its data (MISCONF)',
  NOPERM: 'the ACL user may not run PING; grant it +ping',
});

/** Looks at the server behind a connection: does it answer, and how well is it? @internal */
export class RedisExaminer {
  private readonly facts: ServerFactsReader;

  constructor(
    private readonly registry: ConnectionRegistry,
    private readonly options: ResolvedRedisHealthOptions,
    private readonly criticality: Criticality,
  ) {
    this.facts = new ServerFactsReader(options.factsForMs);
  }

  /** Never rejects; ends within `pingTimeout`, at once without a connection or with an open circuit. */
  async examine(link: ManagedConnection): Promise<Examination> {
    const startedMs = performance.now();
    const took = () => Math.round(performance.now() - startedMs);
    try {
      return { ...(await this.look(link)), tookMs: took() };
    } catch (error) {
      return { connected: false, reasons: [messageOf(error)], tookMs: took() };
    }
  }

  private async look(link: ManagedConnection): Promise<Omit<Examination, 'tookMs'>> {
    // A connection that nobody has used yet is opened by the call.
    if (!link.isReady && link.snapshot().state !== 'idle') throw notReady(link);
    const executor = this.registry.executor(link.connection, link.role);
    const deadlineMs = this.options.pingTimeoutMs;
    const [pulse, facts] = await Promise.all([
      takePulse(executor, deadlineMs),
      this.facts.read(executor, deadlineMs),
    ]);
    const { latencyMs, cluster } = pulse;
    const limits = this.limitsFor(link.connection);
    const reasons = [...pulse.reasons, ...facts.servers.flatMap((server) => reasonsOf(server, limits))];
    return { connected: cluster?.state !== 'fail', latencyMs, facts, reasons, ...(cluster && { cluster }) };
  }

  private limitsFor(connection: string) {
    const { thresholds } = this.options;
    const byDefault = this.criticality.isCritical(connection) ? 0 : Infinity;
    return { ...thresholds, evictionsPerMinute: thresholds.evictionsPerMinute ?? byDefault };
  }
}

async function takePulse(executor: RedisExecutor, deadlineMs: number): Promise<Pulse> {
  const startedMs = performance.now();
  const latency = () => Math.round((performance.now() - startedMs) * 100) / 100;
  try {
    const cluster = await executor.run(
      'health.ping',
      async (client) => {
        if (isClusterClient(client)) return readCluster(client, deadlineMs);
        await client.ping();
        return undefined;
      },
      { deadlineMs },
    );
    return { latencyMs: latency(), reasons: clusterReasons(cluster), ...(cluster && { cluster }) };
  } catch (error) {
    const reason = error instanceof RedisCommandError ? HALF_REFUSALS[error.reply] : undefined;
    if (reason === undefined) throw error;
    return { latencyMs: latency(), reasons: [reason] };
  }
}

/** The state comes first: it is what a check that is `down` says. */
function clusterReasons(cluster: ClusterReport | undefined): string[] {
  if (!cluster) return [];
  const { state, slotsOk, silent } = cluster;
  return [
    ...(state === 'fail' ? ['the Cluster is in state fail and refuses commands'] : []),
    ...(slotsOk !== null && slotsOk < SLOTS ? [`${slotsOk} of ${SLOTS} slots are served`] : []),
    ...silent.map((address) => `master ${address} does not answer`),
  ];
}

function notReady(link: ManagedConnection): RedisUnavailableError {
  const { state, lastErrorCode, connection } = link.snapshot();
  const reason = lastErrorCode === undefined ? state : `${state}, last error ${lastErrorCode}`;
  return new RedisUnavailableError(reason, { connection, operation: 'health.ping', outcome: 'not-sent' });
}

/** Errors that are not ours could carry anything. */
function messageOf(error: unknown): string {
  return isRednestError(error) ? error.message : 'health.ping: failed for an unknown reason';
}
