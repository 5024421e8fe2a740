import { expect, it } from '@jest/globals';
import { TerminusModule } from '@nestjs/terminus';
import { inspect } from 'node:util';
import { CacheModule, CacheService } from 'rednest/cache';
import { RedisHealthIndicator, RedisHealthModule } from 'rednest/health';
import { QueueModule, QueueService } from 'rednest/queue';
import { ConnectionRegistry, REDIS_CONFIGURATION } from 'rednest';
import { createModule, inject } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { describeNative } from '../support/needs.js';
import { startNative } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

const PASSWORD = 'canary-PASSWORD-1';
const VALUE = 'canary-VALUE-2';

/** Everything a developer or a log collector could print of something. */
function printed(thing: unknown): string {
  let json = '';
  try {
    json = JSON.stringify(thing) ?? '';
  } catch {
    // Cyclic things have no JSON.
  }
  const stack = thing instanceof Error ? `${thing.stack} ${inspect(thing.cause)}` : '';
  return `${inspect(thing, { depth: 8 })}\n${String(thing)}\n${json}\n${stack}`;
}

describeNative('secrets', () => {
  it('never show in logs, errors, health, snapshots or the configuration, whatever fails', async () => {
    const server = await startNative(['--requirepass', PASSWORD]);
    const url = server.url.replace('//', `//:${PASSWORD}@`);
    const log = new TestLog();
    const module = await createModule({
      redis: { url, logger: log },
      imports: [
        TerminusModule.forRoot({ logger: false }),
        RedisHealthModule.forRoot(),
        CacheModule.forRoot(),
        QueueModule.forRoot(),
        QueueModule.forFeature(['canary__jobs']),
      ],
    });
    const registry = inject(module, ConnectionRegistry);
    const executor = registry.executor();
    const seen: unknown[] = [];
    const attempt = async (call: () => Promise<unknown>) =>
      seen.push(await call().catch((error: unknown) => error));
    await executor.run('p', (redis) => redis.set('text', VALUE));

    await attempt(() => executor.run('p', (redis) => redis.lpush('text', VALUE)));
    await attempt(() => executor.run('p', (redis) => redis.call('NOSUCH', VALUE)));
    await attempt(() =>
      executor.run('p', (redis) => redis.eval(`return redis.call('NOPE', ARGV[1])`, 0, VALUE)),
    );
    await attempt(() => executor.run('p', (redis) => redis.call('AUTH', `${PASSWORD}x`)));
    seen.push(await inject(module, RedisHealthIndicator).isHealthy());
    await server.kill();
    await eventually('the loss is seen', () => !executor.isReady);
    await attempt(() => executor.run('p', (redis) => redis.set('k', VALUE)));
    await attempt(() => inject(module, CacheService).set('key', VALUE));
    await attempt(() => inject(module, QueueService).producer('canary__jobs').add('job', VALUE));
    seen.push(await inject(module, RedisHealthIndicator).isHealthy());
    seen.push(registry.snapshot(), module.get(REDIS_CONFIGURATION), registry.configuration, log.lines);
    await attempt(() =>
      createModule({ redis: { url: server.url.replace('//', `//u:${PASSWORD}@`), bootTimeout: '200ms' } }),
    );
    await module.close();
    await server.stop();

    const text = seen.map(printed).join('\n');
    expect(text.length).toBeGreaterThan(2000);
    expect(text).not.toContain('canary-');
  });
});
