import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { ConnectionRegistry, RedisBootError } from 'rednest';
import { inject } from '../support/app.js';
import { describeNative } from '../support/needs.js';
import { startNative } from '../support/servers.js';
import { userArguments } from '../support/tls-server.js';
import { TOPOLOGIES, type RunningTopology } from '../support/topologies.js';
import {
  runTopologyScript,
  startTopologyApplication,
  type TopologyApplication,
} from '../support/topologies-script.js';

describeNative('one application on every topology', () => {
  describe.each(TOPOLOGIES)('$name', ({ name, start }) => {
    let server: RunningTopology;
    let app: TopologyApplication;
    beforeAll(async () => {
      server = await start();
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
      process.stderr.write(`${name}: health ${JSON.stringify(outcome.health)}\n`);
    });

    it('R2 closes without leaving a connection', async () => {
      await app.module.close();

      const states = inject(app.module, ConnectionRegistry).snapshot();
      expect(states.filter(({ state }) => state !== 'end')).toEqual([]);
    });
  });
});
