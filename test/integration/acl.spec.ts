import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { ConnectionRegistry } from 'rednest';
import { CacheModule, CacheService } from 'rednest/cache';
import { OnJob, QueueModule, QueueProcessor, QueueService } from 'rednest/queue';
import { RateLimiter, RateLimitModule } from 'rednest/rate-limit';
import { CAPABILITY_ACLS, type AclCapability } from '../support/acl.js';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { startNative } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';
import { userArguments } from '../support/tls-server.js';
import { ask } from '../support/topologies-node.js';

const done: unknown[] = [];
@QueueProcessor('acl__jobs')
class Worker {
  @OnJob() run(data: unknown): void {
    done.push(data);
  }
}

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** An application named `shop` whose user has exactly these rights; the default user sees what was refused. */
async function start(
  rights: string,
  parts: Pick<Parameters<typeof createModule>[0], 'imports' | 'providers'>,
) {
  const server = await startNative(userArguments([`app on >s3cret ${rights}`]));
  cleanups.push(() => server.stop());
  const log = new TestLog();
  const env = { REDIS_URL: server.url.replace('//', '//app:s3cret@') };
  const module = await createModule({ redis: { app: 'shop', env, logger: log }, ...parts });
  cleanups.push(() => module.close());
  const refused = async (): Promise<string[]> =>
    ((await ask(server.port, 'ACL', 'LOG')) as string[][]).map((entry) => String(entry[7]));
  return { module, log, refused };
}

describeNative('the smallest rights of a capability', () => {
  it('commands and transactions', async () => {
    const { module, refused } = await start(CAPABILITY_ACLS['commands and transactions'], {});
    const registry = inject(module, ConnectionRegistry);

    await registry.executor().run('probe.set', (redis) => redis.set('shop:k', '1'));
    await registry.operations().optimistic('probe', ['shop:k'], async (client) => {
      const value = Number(await client.get('shop:k'));
      return (queue) => [queue.set('shop:k', `${value + 1}`)];
    });

    expect(await registry.executor().run('probe.get', (redis) => redis.get('shop:k'))).toBe('2');
    expect(unneeded(await refused())).toEqual([]);
  });

  it('rate limits', async () => {
    const { module, refused } = await start(CAPABILITY_ACLS['rate limits'], {
      imports: [RateLimitModule.forRoot()],
    });
    const policy = { name: 'login', limit: 1, window: '1m' } as const;
    const decide = () => inject(module, RateLimiter).consume('user', policy);

    expect(await decide()).toMatchObject({ allowed: true, source: 'redis' });
    expect(await decide()).toMatchObject({ allowed: false, source: 'redis' });
    expect(unneeded(await refused())).toEqual([]);
  });

  it('cache', async () => {
    const { module, refused, log } = await start(CAPABILITY_ACLS.cache, { imports: [CacheModule.forRoot()] });
    const cache = inject(module, CacheService);

    expect(await cache.getOrSet('key', async () => 'loaded', { tags: ['t'] })).toBe('loaded');
    await eventually('the memory is armed', async () => {
      await cache.get('key');
      return cache.stats().isCoherent;
    });
    await cache.deleteByTag('t');
    expect(await cache.get('key')).toBeUndefined();
    expect(unneeded(await refused())).toEqual([]);
    expect(log.text).not.toContain('NOPERM');
  });

  it('queues', async () => {
    const { module, refused } = await start(CAPABILITY_ACLS.queues, {
      imports: [QueueModule.forRoot(), QueueModule.forFeature(['acl__jobs'])],
      providers: [Worker],
    });
    const queues = inject(module, QueueService);

    const { jobId } = await queues.producer('acl__jobs').once('job', 'data', { key: 'once', tenantId: null });
    await eventually('it ran', () => done.includes('data'));

    await eventually('it is completed', async () => (await queues.find(jobId, null))?.state === 'completed');
    expect(unneeded(await refused())).toEqual([]);
  });

  it('says at start which right is missing for scripts', async () => {
    const { log } = await start(
      CAPABILITY_ACLS['commands and transactions'].replace(' +@transaction', ''),
      {},
    );

    process.stderr.write(`${log.lines.map(({ message }) => String(message)).join('\n')}\n`);
    expect(log.text).toMatch(
      /the user of REDIS_(?:URL|USERNAME) may not run scripts, which rate limits, queues and the cache need; grant it \+@scripting \+time/,
    );
  });
});

/** What a start asks for and is content without. */
function unneeded(refused: readonly string[]): string[] {
  return refused.filter((command) => !/^(info|config\|get|time|evalsha)$/.test(command));
}

describe('docs/topologies.md', () => {
  const page = readFileSync(join(process.cwd(), 'docs', 'topologies.md'), 'utf8');

  it.each(Object.keys(CAPABILITY_ACLS) as AclCapability[])(
    'shows the rights that %s are tested with',
    (name) => {
      expect(page).toContain(CAPABILITY_ACLS[name]);
    },
  );
});
