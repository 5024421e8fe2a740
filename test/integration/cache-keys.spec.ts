import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Cluster, Command, Redis } from 'ioredis';
import { ConfigurationError } from 'rednest';
import { CacheModule, type CacheOptions } from 'rednest/cache';
import * as scripts from '../../src/cache/cache.scripts.js';
import { createModule } from '../support/app.js';
import { CacheUser } from '../support/cache-operations.js';
import { startCluster, type TestCluster } from '../support/cluster.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { uniquePrefix } from '../support/prefix.js';
import { ask } from '../support/topologies-node.js';

/** Everything a master was told, and what its scripts did. */
class Watch {
  readonly scripts: { name: string; declared: string[]; touched: string[] }[] = [];
  seen = '';

  private constructor(private readonly monitor: Redis) {
    monitor.on('error', () => undefined);
    monitor.on('monitor', (_time, args: string[], source: string) => this.note(args, source));
  }

  static async on(port: number): Promise<Watch> {
    const redis = new Redis(port, '127.0.0.1');
    redis.on('error', () => undefined);
    const watch = new Watch(await redis.monitor());
    redis.disconnect();
    return watch;
  }

  close(): void {
    this.monitor.disconnect();
  }

  private note([name = '', ...args]: string[], source: string): void {
    const command = name.toLowerCase();
    if (command === 'echo') this.seen = args[0]!;
    // A server that runs a script says so before it says what the script does.
    if (source === 'lua') this.scripts.at(-1)!.touched.push(...keysOf(command, args));
    else if (command.startsWith('eval')) {
      this.scripts.push({ name: args[0]!, declared: args.slice(2, 2 + Number(args[1])), touched: [] });
    }
  }
}

const SCRIPTS = Object.values(scripts)
  .map(({ name }) => name)
  .sort();

/** A script by its hash or its source, as a monitor shows it. */
function nameOf(text: string): string {
  const found = Object.values(scripts).find(
    ({ sha1, lua }) => text === sha1 || text === lua.replaceAll('\n', '\\n'),
  );
  return found?.name ?? `not of the cache: ${text.slice(0, 40)}`;
}

function keysOf(name: string, args: readonly string[]): string[] {
  if (['time', 'info', 'publish'].includes(name)) return [];
  return new Command(name, [...args]).getKeys().map(String);
}

describeNative('keys of scripts on a Cluster of 3 masters', () => {
  let cluster: TestCluster;
  const users: CacheUser[] = [];
  const watches: Watch[] = [];

  beforeAll(async () => {
    cluster = await startCluster({ masters: 3, replicasPerMaster: 0 });
    for (const { port } of cluster.nodes) watches.push(await Watch.on(port));
  }, 40_000);
  afterAll(async () => {
    for (const user of users) await user.close();
    for (const watch of watches) watch.close();
    await cluster?.stop();
  });

  async function open(keyPrefix: string, options: CacheOptions): Promise<CacheUser> {
    const user = await CacheUser.start({ env: cluster.env, keyPrefix }, options);
    users.push(user);
    return user;
  }

  /** Waits until every monitor has told of all that was sent so far. */
  async function caughtUp(): Promise<void> {
    for (const [index, { port }] of cluster.nodes.entries()) {
      const mark = uniquePrefix();
      await ask(port, 'ECHO', mark);
      await eventually('the monitor has caught up', () => watches[index]!.seen === mark);
    }
  }

  it.each<[string, CacheOptions, readonly string[]]>([
    ['tracking', {}, ['state']],
    ['pub/sub', { coherence: 'pubsub' }, ['state']],
    ['tags checked by the process', { tagCheck: 'local' }, []],
  ])(
    'are declared, all of them, and share a slot: %s',
    async (_what, options, unused) => {
      const keyPrefix = uniquePrefix();
      const [user, other] = [await open(keyPrefix, options), await open(keyPrefix, options)];

      await user.useAll(other);
      await caughtUp();

      const runs = watches.map((watch) => watch.scripts.splice(0));
      const scripts = runs.flat();
      const undeclared = scripts.filter(
        ({ declared, touched }) => !touched.every((key) => declared.includes(key)),
      );
      const used = new Set(
        scripts.flatMap(({ name, touched }) => (touched.length > 0 ? [nameOf(name)] : [])),
      );
      const buckets = new Set(
        scripts.flatMap(({ declared }) => declared.map((key) => /\{default\/\d+\}/.exec(key)?.[0])),
      );
      process.stderr.write(`${scripts.length} runs of ${used.size} scripts\n`);
      expect(undeclared).toEqual([]);
      expect([...used].sort()).toEqual(SCRIPTS.filter((name) => !unused.includes(name)));
      expect(buckets.size).toBeGreaterThanOrEqual(16);
      expect(runs.every(({ length }) => length > 0)).toBe(true);
      for (const each of [user, other]) {
        expect(each.stats()).toMatchObject({ readFailures: 0, writeFailures: 0, deleteFailures: 0 });
        expect(each.stats()).toMatchObject({ invalidationFailures: 0, corrupt: 0 });
      }
    },
    60_000,
  );

  it('refuses a Cluster client of the application, on which nobody can listen', async () => {
    const nodes = cluster.nodes.map(({ port }) => ({ host: '127.0.0.1', port }));
    const client = new Cluster(nodes, { lazyConnect: true });
    try {
      const opening = createModule({ redis: { client, boot: 'lazy' }, imports: [CacheModule.forRoot()] });

      await expect(opening).rejects.toThrow(ConfigurationError);
      await expect(opening).rejects.toThrow(/"default" is a Cluster client.+"cluster" instead/);
    } finally {
      client.disconnect();
    }
  });
});
