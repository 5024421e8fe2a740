import type { RedisClient } from '../redis/index.js';
import { isReply, settleWithin, type Settled } from './settle-within.js';

/** State of a Cluster as its masters see it. */
export interface ClusterReport {
  /** `fail` when every master that answers says so: the Cluster then refuses commands. */
  readonly state: 'ok' | 'fail' | 'unknown';
  /** Masters that were asked. */
  readonly masters: number;
  /** Masters that answered. */
  readonly answering: number;
  /** Slots that are served, of 16,384; `null` when no master may tell. */
  readonly slotsOk: number | null;
  /** Masters that did not answer, by `host:port`. */
  readonly silent: readonly string[];
}

/** A client of a Cluster. @internal */
export type ClusterClient = Extract<RedisClient, { nodes: unknown }>;

/** Share of the time of a check that a single node may use. */
const NODE_SHARE = 0.8;

/** Whether the client speaks to a Cluster. @internal */
export function isClusterClient(client: RedisClient): client is ClusterClient {
  return 'nodes' in client;
}

/**
 * Asks every master the client knows, at once, and gives each a share of `ms`. A single PING would
 * reach any one of them. @internal
 */
export async function askMasters<T>(
  client: ClusterClient,
  ms: number,
  ask: (node: ReturnType<ClusterClient['nodes']>[number]) => Promise<T>,
): Promise<readonly { address: string; reply: Settled<T> }[]> {
  const share = Math.ceil(ms * NODE_SHARE);
  const nodes = client.nodes('master');
  return Promise.all(
    nodes.map(async (node) => {
      const address = `${node.options.host}:${node.options.port}`;
      return { address, reply: await settleWithin(ask(node), share) };
    }),
  );
}

/**
 * Sign of life of a Cluster: CLUSTER INFO from every master, one round trip.
 *
 * @throws the first failure when no master answers
 * @internal
 */
export async function readCluster(client: ClusterClient, ms: number): Promise<ClusterReport> {
  const replies = await askMasters(client, ms, (node) => node.cluster('INFO') as Promise<unknown>);
  const answered = replies.filter(({ reply }) => reply.status === 'answered' || isReply(reply.error));
  const first = replies[0]?.reply;
  if (answered.length === 0)
    throw first?.status === 'failed' ? first.error : new Error('Connection is closed.');
  const texts = answered.map(({ reply }) => (reply.status === 'answered' ? String(reply.value) : ''));
  const states = texts.map((text) => /cluster_state:(\w+)/.exec(text)?.[1]).filter((state) => state);
  const slots = texts.flatMap((text) => /cluster_slots_ok:(\d+)/.exec(text)?.[1] ?? []).map(Number);
  return {
    state: states.length === 0 ? 'unknown' : states.includes('ok') ? 'ok' : 'fail',
    masters: replies.length,
    answering: answered.length,
    slotsOk: slots.length === 0 ? null : Math.min(...slots),
    silent: replies.filter((entry) => !answered.includes(entry)).map(({ address }) => address),
  };
}
