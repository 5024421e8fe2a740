import { eventually } from './eventually.js';
import { freePort } from './ports.js';
import { ask, infoField, startAll, stopAll, TopologyNode } from './topologies-node.js';

/** Name the Sentinels of a {@link SentinelSet} give their primary. */
export const SENTINEL_NAME = 'mymaster';

/** Settings of {@link startSentinelSet}. */
export interface SentinelSetOptions {
  /** @default 2 */
  replicas?: number;
  /** @default 3 */
  sentinels?: number;
  /** Silence after which a Sentinel takes the primary for dead, in milliseconds. @default 1000 */
  downAfterMs?: number;
}

/** Starts a primary, its replicas and Sentinels, and waits until all of them agree (about 2.5 s). */
export async function startSentinelSet(options: SentinelSetOptions = {}): Promise<SentinelSet> {
  const { replicas = 2, sentinels = 3, downAfterMs = 1000 } = options;
  const [primaryPort, ...replicaPorts] = await freePorts(1 + replicas);
  const data = [
    dataNode(primaryPort!, 'primary', []),
    ...replicaPorts.map((port) => dataNode(port, 'replica', [`replicaof 127.0.0.1 ${primaryPort}`])),
  ];
  const watchers = (await freePorts(sentinels)).map((port) => sentinelNode(port, primaryPort!, downAfterMs));
  const set = new SentinelSet(data, watchers);
  await startAll(data);
  try {
    await set.replicated();
    await startAll(watchers);
    await set.agreed();
  } catch (error) {
    const logs = watchers.map((node) => node.logTail()).join('\n');
    await set.stop();
    throw new Error(`the Sentinel set did not form:\n${logs}`, { cause: error });
  }
  return set;
}

function freePorts(count: number): Promise<number[]> {
  return Promise.all(Array.from({ length: count }, freePort));
}

function dataNode(port: number, what: string, settings: readonly string[]): TopologyNode {
  return new TopologyNode(port, what, [
    'save ""',
    'repl-diskless-sync yes',
    // Without it a replica stays behind for seconds, and a test that kills the primary counts losses.
    'repl-diskless-sync-delay 0',
    ...settings,
  ]);
}

function sentinelNode(port: number, primaryPort: number, downAfterMs: number): TopologyNode {
  const settings = [
    `sentinel monitor ${SENTINEL_NAME} 127.0.0.1 ${primaryPort} 2`,
    `sentinel down-after-milliseconds ${SENTINEL_NAME} ${downAfterMs}`,
    `sentinel failover-timeout ${SENTINEL_NAME} 2000`,
    `sentinel parallel-syncs ${SENTINEL_NAME} 2`,
  ];
  return new TopologyNode(port, 'sentinel', settings, ['--sentinel']);
}

/** A primary with replicas under the watch of Sentinels. */
export class SentinelSet {
  constructor(
    readonly data: readonly TopologyNode[],
    readonly sentinels: readonly TopologyNode[],
  ) {}

  /** What an application needs to find the primary. */
  get env(): Record<string, string> {
    const hosts = this.sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',');
    return { REDIS_SENTINEL_HOSTS: hosts, REDIS_SENTINEL_NAME: SENTINEL_NAME };
  }

  /** The primary as the first Sentinel names it. */
  async master(): Promise<TopologyNode> {
    const port = await this.masterPort(this.sentinels[0]!);
    const node = this.data.find((candidate) => candidate.port === port);
    if (!node) throw new Error(`the Sentinel names an unknown primary on port ${port}`);
    return node;
  }

  /** Asks for a failover while the primary is well. Does not wait for it. */
  async failover(): Promise<void> {
    await ask(this.sentinels[0]!.port, 'SENTINEL', 'FAILOVER', SENTINEL_NAME);
  }

  /** SIGKILL to the primary. */
  async killMaster(): Promise<TopologyNode> {
    const node = await this.master();
    await node.kill();
    return node;
  }

  /** SIGSTOP to the primary. */
  async freezeMaster(): Promise<TopologyNode> {
    const node = await this.master();
    node.freeze();
    return node;
  }

  /**
   * Waits until a server other than `old` is the primary by its own word.
   *
   * @returns it, and the monotonic time at which that was seen
   */
  async promoted(old: TopologyNode): Promise<{ node: TopologyNode; atMs: number }> {
    const others = this.data.filter((node) => node !== old && node.isRunning);
    const node = await eventually(
      'a replica is promoted',
      async () => {
        const roles = await Promise.all(others.map(roleOf));
        return others[roles.indexOf('master')];
      },
      20_000,
    ).catch((error: unknown) => {
      // Sentinels that were starved of CPU time step back for 30 s (`+tilt`), or cannot agree on one of them.
      const logs = this.sentinels.map((sentinel) => sentinel.logTail()).join('\n');
      throw new Error(`no failover; the Sentinels say:\n${logs}`, { cause: error });
    });
    return { node, atMs: performance.now() };
  }

  /**
   * Waits until a Sentinel names `node` as the primary: before that no client can know.
   *
   * @returns the monotonic time at which that was seen
   */
  async announced(node: TopologyNode): Promise<number> {
    await eventually(
      'a Sentinel names the new primary',
      async () => {
        const ports = await Promise.all(this.sentinels.map((sentinel) => this.masterPort(sentinel)));
        return ports.includes(node.port);
      },
      20_000,
    );
    return performance.now();
  }

  /** Brings every server back as part of the set and waits until all agree again. */
  async reform(): Promise<void> {
    const master = await eventually('the Sentinels name one primary', () => this.commonMaster(), 20_000);
    for (const node of this.data) {
      if (node.isRunning) node.resume();
      else await node.restart();
      // A Sentinel would take 8 s to make a returning primary a replica.
      if (node !== master) await ask(node.port, 'REPLICAOF', '127.0.0.1', master.port);
    }
    await this.replicated();
    await this.agreed();
  }

  /** Waits until every server but one replicates from it and is in step. */
  async replicated(): Promise<void> {
    await eventually('the replicas are in step', async () => {
      const links = await Promise.all(
        this.data.map(({ port }) => infoField(port, 'replication', 'master_link_status')),
      );
      return links.filter((link) => link === 'up').length === this.data.length - 1;
    });
  }

  /** Waits until every Sentinel sees the same primary, all replicas and all other Sentinels, well. */
  async agreed(): Promise<void> {
    await eventually(
      'the Sentinels agree',
      async () => {
        const views = await Promise.all(this.sentinels.map((node) => this.isContent(node)));
        return views.every(Boolean) && (await this.commonMaster()) !== undefined;
      },
      20_000,
    );
  }

  /** Ends all processes. */
  async stop(): Promise<void> {
    await stopAll([...this.sentinels, ...this.data]);
  }

  private async isContent({ port }: TopologyNode): Promise<boolean> {
    const view = toRecord(await ask(port, 'SENTINEL', 'MASTER', SENTINEL_NAME));
    const replicas = (await ask(port, 'SENTINEL', 'REPLICAS', SENTINEL_NAME)) as unknown[];
    return (
      view['flags'] === 'master' &&
      Number(view['num-other-sentinels']) === this.sentinels.length - 1 &&
      replicas.length === this.data.length - 1 &&
      replicas.every((replica) => toRecord(replica)['flags'] === 'slave')
    );
  }

  private async commonMaster(): Promise<TopologyNode | undefined> {
    const ports = await Promise.all(this.sentinels.map((node) => this.masterPort(node)));
    if (new Set(ports).size > 1) return undefined;
    const node = this.data.find(({ port }) => port === ports[0]);
    return node?.isRunning && (await roleOf(node)) === 'master' ? node : undefined;
  }

  private async masterPort({ port }: TopologyNode): Promise<number> {
    const reply = await ask(port, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', SENTINEL_NAME);
    return Number((reply as string[])[1]);
  }
}

/** `master`, `slave`, or `none` when the server does not answer. */
async function roleOf({ port }: TopologyNode): Promise<string> {
  try {
    return String(((await ask(port, 'ROLE')) as unknown[])[0]);
  } catch {
    return 'none';
  }
}

function toRecord(reply: unknown): Record<string, string> {
  const list = reply as string[];
  const record: Record<string, string> = {};
  for (let i = 0; i + 1 < list.length; i += 2) record[list[i]!] = list[i + 1]!;
  return record;
}
