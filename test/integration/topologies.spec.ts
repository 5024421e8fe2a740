import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TerminusModule } from '@nestjs/terminus';
import { ConnectionRegistry } from 'rednest';
import { CacheModule, CacheService } from 'rednest/cache';
import { RedisHealthIndicator, RedisHealthModule } from 'rednest/health';
import { createModule, inject } from '../support/app.js';
import { describeNative } from '../support/needs.js';
import { startNative } from '../support/servers.js';
import { userArguments } from '../support/tls-server.js';
import { MINIMAL_ACL, TOPOLOGIES, type RunningTopology } from '../support/topologies.js';
import {
  runTopologyScript,
  startTopologyApplication,
  type TopologyApplication,
} from '../support/topologies-script.js';

describeNative('one application on every topology', () => {
  describe.each(TOPOLOGIES)('$name', (topology) => {
    let server: RunningTopology;
    let app: TopologyApplication;
    beforeAll(async () => {
      server = await topology.start();
      app = await startTopologyApplication(server.env);
    }, 40_000);
    afterAll(async () => {
      await app?.module.close();
      await server?.stop();
    });

    it('R2 runs every capability, configured by the environment alone', async () => {
      const outcome = await runTopologyScript(app);

      expect(outcome).toMatchObject({
        read: 'value',
        cached: [1, 1, 1],
        limited: [true, false],
        deduplicated: [false, true],
        jobs: ['added', 'once'],
        health: { status: 'up', connected: true },
      });
      process.stderr.write(`${topology.name}: health ${JSON.stringify(outcome.health)}\n`);
    });

    it('R2 closes without leaving a connection', async () => {
      await app.module.close();

      const states = inject(app.module, ConnectionRegistry).snapshot();
      expect(states.filter(({ state }) => state !== 'end')).toEqual([]);
    });
  });
});

describeNative('a user whose ACL refuses INFO', () => {
  it('F06 starts, works, and says in its health what it cannot see', async () => {
    const user =
      'app on >s3cret ~* &* -@all +@read +@write +@connection +@scripting +@pubsub +time -@dangerous';
    const server = await startNative(['--user', 'default', 'off', ...userArguments([user])]);
    const module = await createModule({
      redis: { env: { REDIS_URL: server.url.replace('//', '//app:s3cret@') } },
      imports: [
        CacheModule.forRoot(),
        TerminusModule.forRoot({ logger: false }),
        RedisHealthModule.forRoot(),
      ],
    });

    const stored = await inject(module, CacheService).set('key', 'value');
    const { redis } = await inject(module, RedisHealthIndicator).isHealthy();

    expect(stored).toBe(true);
    expect(redis).toMatchObject({ status: 'up', connected: true });
    expect(JSON.stringify(redis)).toMatch(/NOPERM|may not run INFO|\+info/);
    await module.close();
    await server.stop();
  });
});

describe('docs/topologies.md', () => {
  it('shows the ACL that the tests run with', () => {
    const page = readFileSync(join(process.cwd(), 'docs', 'topologies.md'), 'utf8');

    expect(page).toContain(MINIMAL_ACL);
  });
});
