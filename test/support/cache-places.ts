import { afterAll, beforeAll } from '@jest/globals';
import { Cluster, Redis } from 'ioredis';
import type { RedisModuleOptions } from 'rednest';
import { CacheSpace, type Bucket } from '../../src/cache/cache-key.js';
import { startCluster } from './cluster.js';
import { scriptCalls } from './script-calls.js';
import { startEmbedded, startNative } from './servers.js';

/** Where applications with a cache run. */
export interface Place {
  /** How an application reaches it. */
  readonly redis: RedisModuleOptions;
  stop(): Promise<void>;
}

/** What can be done to a server, or to each of several. */
interface Machine {
  freeze(): void;
  resume(): void;
  kill(): Promise<void>;
}

/** Where caches run in a test: one server, or a Cluster of 3 masters. */
export class CachePlace implements Place {
  private isFrozen = false;

  constructor(
    private readonly init: {
      /** For the application. */
      readonly redis: RedisModuleOptions;
      /** For the test. */
      readonly client: Redis | Cluster;
      /** Parts that a namespace is split into. */
      readonly buckets: number;
      readonly machines: readonly Machine[];
      restart(): Promise<void>;
      stop(): Promise<void>;
    },
  ) {
    init.client.on('error', () => undefined);
  }

  /** How an application reaches it. */
  get redis(): RedisModuleOptions {
    return this.init.redis;
  }

  /** A client of the test's own. */
  get client(): Redis | Cluster {
    return this.init.client;
  }

  private get masters(): Redis[] {
    const { client } = this;
    return client instanceof Cluster ? client.nodes('master') : [client];
  }

  /** The bucket of an entry. */
  bucketOf(keyPrefix: string, namespace: string, id: string): Bucket {
    return new CacheSpace(keyPrefix, namespace, this.init.buckets).bucketOf(id);
  }

  /** Holder of the right to load an entry. */
  leaseOf(keyPrefix: string, namespace: string, id: string): Promise<string | null> {
    const bucket = this.bucketOf(keyPrefix, namespace, id);
    return this.client.get(bucket.lease(bucket.entry(id)));
  }

  /** How often scripts were called on all servers. */
  async scriptCalls(): Promise<number> {
    const calls = await Promise.all(this.masters.map((node) => scriptCalls(node)));
    return calls.reduce((sum, count) => sum + count, 0);
  }

  /** Bytes that all servers have sent. */
  async bytesSent(): Promise<number> {
    const stats = await Promise.all(this.masters.map((node) => node.info('stats')));
    return stats.reduce((sum, text) => sum + Number(/total_net_output_bytes:(\d+)/.exec(text)![1]), 0);
  }

  /** How often a command was called on all servers, by scripts too. */
  async callsOf(command: string): Promise<number> {
    const stats = await Promise.all(this.masters.map((node) => node.info('commandstats')));
    const counts = stats.map((text) =>
      Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(text)?.[1] ?? 0),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Sets a parameter of all servers. */
  async configure(parameter: string, value: string): Promise<void> {
    await Promise.all(this.masters.map((node) => node.config('SET', parameter, value)));
  }

  /** Ends the connections on which processes hear of changes. */
  async killListeners(): Promise<void> {
    await Promise.all(this.masters.map((node) => node.call('CLIENT', 'KILL', 'TYPE', 'pubsub')));
  }

  /** SCRIPT FLUSH, which a server also does to single scripts when it has many. */
  async forgetScripts(): Promise<void> {
    await Promise.all(this.masters.map((node) => node.script('FLUSH')));
  }

  /** FLUSHALL, by somebody else. */
  async flush(): Promise<void> {
    await Promise.all(this.masters.map((node) => node.flushall()));
  }

  /** Loses the state of a namespace, as an eviction does. */
  async loseState(keyPrefix: string, namespace: string): Promise<void> {
    const { buckets } = new CacheSpace(keyPrefix, namespace, this.init.buckets);
    await Promise.all(buckets.map(({ state }) => this.client.del(state)));
  }

  /** SIGSTOP to all. */
  freeze(): void {
    this.isFrozen = true;
    for (const machine of this.init.machines) machine.freeze();
  }

  /** Takes {@link freeze} back. */
  resume(): void {
    if (this.isFrozen) for (const machine of this.init.machines) machine.resume();
    this.isFrozen = false;
  }

  /** SIGKILL to all. */
  async kill(): Promise<void> {
    this.isFrozen = false;
    await Promise.all(this.init.machines.map((machine) => machine.kill()));
  }

  /** Brings back what was killed. */
  restart(): Promise<void> {
    return this.init.restart();
  }

  async stop(): Promise<void> {
    this.client.disconnect();
    await this.init.stop();
  }
}

/** The engine in the box. */
export async function startEmbeddedPlace(): Promise<Place> {
  const server = await startEmbedded();
  return { redis: { url: server.url }, stop: () => server.stop() };
}

/** One server. */
export async function startServerPlace(): Promise<CachePlace> {
  const server = await startNative();
  return new CachePlace({
    redis: { url: server.url },
    client: new Redis(server.url),
    buckets: 1,
    machines: [server],
    restart: () => server.restart(),
    stop: () => server.stop(),
  });
}

/** A Cluster of 3 masters. */
export async function startClusterPlace(): Promise<CachePlace> {
  const cluster = await startCluster({ masters: 3, replicasPerMaster: 0 });
  const nodes = cluster.nodes.map(({ port }) => `127.0.0.1:${port}`);
  return new CachePlace({
    redis: { cluster: { nodes } },
    client: new Cluster(nodes),
    buckets: 16,
    machines: cluster.nodes,
    restart: () => cluster.reform(),
    stop: () => cluster.stop(),
  });
}

/** One place for all tests of a suite: started before the first of them, stopped after the last. */
export function sharedPlace<P extends Place>(start: () => Promise<P>): Pick<P, 'redis'> {
  let place: P | undefined;
  beforeAll(async () => {
    place = await start();
  }, 40_000);
  afterAll(() => place?.stop());
  return {
    get redis() {
      return place!.redis;
    },
  };
}
