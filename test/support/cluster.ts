import { migrateSlots } from './cluster-reshard.js';
import { keysOfShard } from './cluster-slots.js';
import { eventually } from './eventually.js';
import { freeBusPorts } from './ports.js';
import { ask, converse, startAll, stopAll, TopologyNode } from './topologies-node.js';

const SLOTS = 16_384;

/** Settings of {@link startCluster}. */
export interface ClusterOptions {
  /** @default 3 */
  masters?: number;
  /** @default 1 */
  replicasPerMaster?: number;
  /** Silence after which a node counts as failed, in milliseconds. @default 1500 */
  nodeTimeoutMs?: number;
}

/** Starts a Cluster and waits until every node calls it well and every replica is in step (about 2.5 s). */
export async function startCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  const { masters = 3, replicasPerMaster = 1, nodeTimeoutMs = 1500 } = options;
  const ports = await freeBusPorts(masters * (1 + replicasPerMaster));
  const nodes = ports.map((port) => clusterNode(port, nodeTimeoutMs));
  await startAll(nodes);
  const cluster = new TestCluster(nodes, masters, nodeTimeoutMs);
  try {
    await cluster.form();
  } catch (error) {
    const logs = nodes.map((node) => node.logTail().slice(-600)).join('\n');
    await cluster.stop();
    throw new Error(`the Cluster did not form:\n${logs}`, { cause: error });
  }
  return cluster;
}

function clusterNode(port: number, nodeTimeoutMs: number): TopologyNode {
  return new TopologyNode(port, 'cluster node', [
    'save ""',
    'cluster-enabled yes',
    'cluster-config-file nodes.conf',
    `cluster-node-timeout ${nodeTimeoutMs}`,
    'cluster-replica-validity-factor 0',
    'repl-diskless-sync yes',
    'repl-diskless-sync-delay 0',
  ]);
}

/** One line of `CLUSTER NODES`. */
interface NodeLine {
  readonly id: string;
  readonly port: number;
  readonly flags: readonly string[];
  readonly masterId: string;
  readonly slots: readonly string[];
}

/** Shards of masters with replicas, as processes. Shards are numbered from 0 in the order of their slots. */
export class TestCluster {
  /** @internal */
  constructor(
    readonly nodes: readonly TopologyNode[],
    private readonly masterCount: number,
    readonly nodeTimeoutMs: number,
  ) {}

  /** What an application needs to find the Cluster. */
  get env(): Record<string, string> {
    const nodes = this.nodes.map(({ port }) => `127.0.0.1:${port}`).join(',');
    return { REDIS_CLUSTER_NODES: nodes };
  }

  /** @internal */
  async form(): Promise<void> {
    const [first, ...others] = this.nodes;
    const masters = this.nodes.slice(0, this.masterCount);
    for (const [index, { port }] of this.nodes.entries())
      await ask(port, 'CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
    for (const { port } of others) await ask(first!.port, 'CLUSTER', 'MEET', '127.0.0.1', port);
    for (const [index, { port }] of masters.entries()) {
      await ask(port, 'CLUSTER', 'ADDSLOTS', ...this.slotsOf(index));
    }
    await eventually('the nodes know each other', () => this.everyNode((lines) => this.isComplete(lines)));
    await this.attachReplicas();
    await this.healthy();
  }

  /** The process that serves a shard now. */
  async master(shard: number): Promise<TopologyNode> {
    const line = await this.shardLine(shard);
    return this.byPort(line.port);
  }

  /** The slots a shard serves now. */
  async slotsOfShard(shard: number): Promise<number[]> {
    return expand((await this.shardLine(shard)).slots);
  }

  /** SIGKILL to the master of a shard. */
  async killMaster(shard: number): Promise<TopologyNode> {
    const node = await this.master(shard);
    await node.kill();
    return node;
  }

  /** SIGSTOP to the master of a shard. */
  async freezeMaster(shard: number): Promise<TopologyNode> {
    const node = await this.master(shard);
    node.freeze();
    return node;
  }

  /**
   * Waits until a replica has taken the slots of `old` over and the Cluster accepts writes again.
   *
   * @returns it, and the monotonic time at which that was seen
   */
  async promoted(old: TopologyNode): Promise<{ node: TopologyNode; atMs: number }> {
    const alive = this.nodes.filter((node) => node !== old && node.isRunning);
    const before = await this.view(alive[0]!);
    const oldLine = before.find(({ port }) => port === old.port)!;
    const heirs = before.filter(({ masterId }) => masterId === oldLine.id).map(({ port }) => port);
    const node = await eventually(
      'a replica takes over',
      async () => {
        const lines = await this.view(this.byPort(heirs[0] ?? alive[0]!.port));
        const heir = lines.find(
          ({ port, slots }) => port !== old.port && heirs.includes(port) && slots.length,
        );
        const known = heir ?? (oldLine.masterId === '-' ? undefined : oldLine);
        return known && (await this.state(this.byPort(known.port))) === 'ok' && this.byPort(known.port);
      },
      20_000,
    );
    return { node, atMs: performance.now() };
  }

  /** Moves slots, with the keys in them, from one shard's master to another's while it is in use. */
  async reshard(from: number, to: number, count: number): Promise<void> {
    const [source, target] = [await this.shardLine(from), await this.shardLine(to)];
    const masters = (await this.view(this.byPort(source.port))).filter(({ slots }) => slots.length > 0);
    await migrateSlots({
      source,
      target,
      others: masters.filter(({ id }) => id !== source.id && id !== target.id),
      slots: expand(source.slots).slice(0, count),
    });
  }

  /** Brings every node back and waits until all call the Cluster well again. */
  async reform(): Promise<void> {
    for (const node of this.nodes) {
      if (node.isRunning) node.resume();
      else await node.restart();
    }
    await this.healthy();
  }

  /** Waits until all nodes see all others well, the state is ok everywhere and replicas are in step. */
  async healthy(): Promise<void> {
    await eventually(
      'the Cluster is well',
      async () =>
        (await this.everyNode((lines) => this.isComplete(lines) && this.isWell(lines))) &&
        (await this.everyReplicaInStep()),
      20_000,
    );
  }

  /** Ends all processes. */
  async stop(): Promise<void> {
    await stopAll(this.nodes);
  }

  private slotsOf(master: number): number[] {
    const start = Math.floor((SLOTS * master) / this.masterCount);
    const end = Math.floor((SLOTS * (master + 1)) / this.masterCount);
    return Array.from({ length: end - start }, (_, index) => start + index);
  }

  private async attachReplicas(): Promise<void> {
    const ids = await Promise.all(this.nodes.map(({ port }) => ask(port, 'CLUSTER', 'MYID')));
    for (const [index, { port }] of this.nodes.entries()) {
      if (index < this.masterCount) continue;
      await ask(port, 'CLUSTER', 'REPLICATE', String(ids[index % this.masterCount]));
    }
  }

  /** Shards in the order of the lowest slot they serve. */
  private async shardLine(shard: number): Promise<NodeLine> {
    const alive = this.nodes.find((node) => node.isRunning)!;
    const lines = (await this.view(alive)).filter(({ slots }) => slots.length > 0);
    const line = lines.sort((a, b) => firstSlot(a) - firstSlot(b))[shard];
    if (!line) throw new Error(`the Cluster has no shard ${shard}`);
    return line;
  }

  private byPort(port: number): TopologyNode {
    const node = this.nodes.find((candidate) => candidate.port === port);
    if (!node) throw new Error(`no node of the Cluster listens on port ${port}`);
    return node;
  }

  /** Whether all nodes draw the same map and `holds` is true of it. A node that returns has an old one. */
  private async everyNode(holds: (lines: readonly NodeLine[]) => boolean): Promise<boolean> {
    const views = await Promise.all(this.nodes.map((node) => this.view(node)));
    return new Set(views.map(drawMap)).size === 1 && views.every(holds);
  }

  private isComplete(lines: readonly NodeLine[]): boolean {
    return (
      lines.length === this.nodes.length &&
      lines.every(({ flags }) => !flags.some((flag) => /handshake|fail|noaddr/.test(flag))) &&
      lines.flatMap(({ slots }) => expand(slots)).length === SLOTS
    );
  }

  private isWell(lines: readonly NodeLine[]): boolean {
    return lines.filter(({ masterId }) => masterId === '-').length === this.masterCount;
  }

  /**
   * Whether a write on every master reaches its replicas. A replica counts as online, with the right
   * offset, a second before it is sent any commands.
   */
  private async everyReplicaInStep(): Promise<boolean> {
    const states = await Promise.all(this.nodes.map((node) => this.state(node)));
    if (!states.every((state) => state === 'ok')) return false;
    const lines = (await this.view(this.nodes[0]!)).filter(({ slots }) => slots.length > 0);
    const candidates = Array.from({ length: 500 }, (_, index) => `rednest:in-step:${index}`);
    const replicas = await Promise.all(
      lines.map(({ port, slots }) =>
        converse(port, async (client) => {
          const [key] = keysOfShard(candidates, expand(slots));
          await client.set(key!, '1', 'PX', 1000);
          return client.wait(this.nodes.length, 200);
        }),
      ),
    );
    const reached = replicas.reduce((sum, count) => sum + count, 0);
    return reached === this.nodes.length - this.masterCount;
  }

  private async state({ port }: TopologyNode): Promise<string | undefined> {
    return /cluster_state:(\w+)/.exec(String(await ask(port, 'CLUSTER', 'INFO')))?.[1];
  }

  private async view({ port }: TopologyNode): Promise<NodeLine[]> {
    return parseNodes(String(await ask(port, 'CLUSTER', 'NODES')));
  }
}

function parseNodes(text: string): NodeLine[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [id = '', address = '', flags = '', masterId = '', , , , , ...slots] = line.split(' ');
      const port = Number(/:(\d+)/.exec(address)?.[1]);
      // Slots on their way stand in brackets.
      return {
        id,
        port,
        flags: flags.split(','),
        masterId,
        slots: slots.filter((range) => /^\d/.test(range)),
      };
    });
}

/** Who serves which slots, and who follows whom. */
function drawMap(lines: readonly NodeLine[]): string {
  return lines
    .map(({ id, masterId, slots }) => `${id} ${masterId} ${slots.join(',')}`)
    .sort()
    .join('\n');
}

function expand(ranges: readonly string[]): number[] {
  return ranges.flatMap((range) => {
    const [start = 0, end = start] = range.split('-').map(Number);
    return Array.from({ length: end - start + 1 }, (_, index) => start + index);
  });
}

function firstSlot({ slots }: NodeLine): number {
  return Number.parseInt(slots[0]!, 10);
}
