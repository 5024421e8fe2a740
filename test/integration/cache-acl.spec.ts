import type { TestingModule } from '@nestjs/testing';
import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import { CacheModule, CacheService, type CacheOptions } from 'rednest/cache';
import { createModule, inject } from '../support/app.js';
import { startCluster } from '../support/cluster.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { TestLog } from '../support/test-log.js';
import { startTlsServer } from '../support/tls-server.js';
import { ask } from '../support/topologies-node.js';
import { MINIMAL_ACL, type RunningTopology } from '../support/topologies.js';

/** What a Cluster asks for besides. */
const CLUSTER_RIGHTS = ' +cluster|slots +cluster|info';

/** The smallest ACL as it would be without its rights on channels. */
const WITHOUT_CHANNELS = MINIMAL_ACL.replace(/ &\S+/g, '');

/** Users of an application that may use channels, and of one that may not; with these rights more. */
const users = (more = ''): string[] => [
  `app on >s3cret ${MINIMAL_ACL}${more}`,
  `deaf on >s3cret ${WITHOUT_CHANNELS}${more}`,
];

const startServer = () => startTlsServer({ acl: [...users(), 'default off'] });

async function startMasters(): Promise<RunningTopology> {
  const cluster = await startCluster({ masters: 3, replicasPerMaster: 0 });
  for (const { port } of cluster.nodes) {
    for (const user of users(CLUSTER_RIGHTS)) await ask(port, 'ACL', 'SETUSER', ...user.split(' '));
  }
  return cluster;
}

describeNative('the memory of a cache under an ACL user', () => {
  behaviour(startServer);
});
describeNative('the memory of a cache under an ACL user on a Cluster of 3 masters', () => {
  behaviour(startMasters);
});

function behaviour(startPlace: () => Promise<RunningTopology>): void {
  let server: RunningTopology;
  const open: TestingModule[] = [];

  beforeAll(async () => {
    server = await startPlace();
  }, 40_000);
  afterEach(async () => {
    for (const module of open.splice(0)) await module.close();
  });
  afterAll(() => server?.stop());

  async function start(user: string, coherence: CacheOptions['coherence'], logger = new TestLog()) {
    const env = { ...server.env, REDIS_USERNAME: user, REDIS_PASSWORD: 's3cret', REDIS_APP_NAME: 'shop' };
    const module = await createModule({
      redis: { app: 'shop', env, logger },
      imports: [CacheModule.forRoot(coherence ? { coherence } : {})],
    });
    open.push(module);
    return inject(module, CacheService);
  }

  it.each(['auto', 'tracking', 'pubsub'] as const)(
    'hears of changes and wakes those who wait, with the rights on channels (%s)',
    async (coherence) => {
      const log = new TestLog();
      const [here, there] = [await start('app', coherence, log), await start('app', coherence, log)];
      const key = `key-${coherence}`;
      await here.set(key, 'old');
      await eventually('both hear of changes', async () => {
        await Promise.all([here.get(key), there.get(key)]);
        return here.stats().isCoherent && there.stats().isCoherent && here.peek(key) === 'old';
      });

      await there.set(key, 'new');

      await eventually('the copy is not served', () => here.peek(key) !== 'old', 1_000);
      expect(await here.get(key)).toBe('new');

      let finish = (): void => undefined;
      const held = new Promise<void>((resolve) => (finish = resolve));
      const leading = here.getOrSet(`load-${coherence}`, async () => (await held, 'loaded'));
      await eventually('one loads', () => here.stats().loads > 0);
      const waiting = there.getOrSet(`load-${coherence}`, async () => 'loaded twice');
      await eventually('the other waits', () => there.stats().waits > 0);
      finish();
      expect(await Promise.all([leading, waiting])).toEqual(['loaded', 'loaded']);
      expect(log.text).not.toMatch(/✖|NOPERM|fails/);
    },
  );

  it.each([
    ['tracking', 'client-side tracking'],
    ['pubsub', 'cache-changes'],
  ] as const)('serves no copies without them, and says so once (%s)', async (coherence, source) => {
    const log = new TestLog();
    const cache = await start('deaf', coherence, log);
    await cache.get('k');

    await eventually('it is said', () => log.text.includes('NOPERM'));
    await cache.get('k');

    const warnings = log.lines.filter(({ message }) => String(message).includes('NOPERM'));
    process.stderr.write(`${warnings.map(({ message }) => String(message)).join('\n')}\n`);
    expect(warnings).toHaveLength(1);
    expect(String(warnings[0]!.message)).toContain(source);
    expect(cache.stats().isCoherent).toBe(false);
    expect(cache.peek('k')).toBeUndefined();
    // In pub/sub mode each write has to be told, which this user may not do.
    expect(await cache.set('k', 'value')).toBe(coherence === 'tracking');
  });

  it('answers those who wait without them, though nobody may be woken', async () => {
    const [here, there] = [await start('deaf', 'tracking'), await start('deaf', 'tracking')];
    let finish = (): void => undefined;
    const held = new Promise<void>((resolve) => (finish = resolve));
    const leading = here.getOrSet('load', async () => (await held, 'loaded'));
    await eventually('one loads', () => here.stats().loads > 0);
    const waiting = there.getOrSet('load', async () => 'loaded twice');
    await eventually('the other waits', () => there.stats().waits > 0);
    const startedMs = performance.now();
    finish();

    const values = [await leading, await waiting];
    const tookMs = performance.now() - startedMs;
    process.stderr.write(`without a wake-up the other has a value after ${tookMs.toFixed(0)} ms\n`);
    // What somebody waits for is not kept: the script that keeps it may not wake anybody.
    expect(values).toEqual(['loaded', 'loaded twice']);
  });
}
