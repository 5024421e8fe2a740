import { expect, it } from '@jest/globals';
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { ExpressAdapter as BoardAdapter } from '@bull-board/express';
import { BullModule, getQueueToken } from '@nestjs/bullmq';
import { ExpressAdapter, type NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import type { Queue } from 'bullmq';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ConnectionRegistry, RedisModule } from 'rednest';
import { QueueModule, QueueService } from 'rednest/queue';
import { inject } from '../support/app.js';
import { embeddedSuite } from '../support/embedded-suite.js';
import { uniquePrefix } from '../support/prefix.js';
import { Mail, QUIET } from '../support/queues.js';
import { TestLog } from '../support/test-log.js';

const suite = embeddedSuite();

it('lets plain @nestjs/bullmq modules use the connections of Rednest', async () => {
  const module = await suite.open({
    imports: [
      BullModule.forRootAsync({
        inject: [ConnectionRegistry],
        useFactory: (registry: ConnectionRegistry) => ({
          connection: registry.client('default', 'producer'),
          prefix: `${registry.configuration.keyPrefix}:plain`,
          skipWaitingForReady: true,
          skipVersionCheck: true,
          skipMetasUpdate: true,
        }),
      }),
      BullModule.registerQueue({ name: 'legacy' }),
      QueueModule.forRoot(QUIET),
      QueueModule.forFeature([Mail]),
    ],
  });
  const registry = inject(module, ConnectionRegistry);
  const legacy = module.get<Queue>(getQueueToken('legacy'), { strict: false });

  await legacy.add('old', { n: 1 });
  await inject(module, QueueService).producer(Mail).add('purge', { days: 1 }, { tenantId: 'acme' });

  expect(await legacy.getWaitingCount()).toBe(1);
  expect(registry.snapshot().filter(({ role }) => role === 'producer')).toHaveLength(1);
});

it('shows Bull Board behind the guard of the application', async () => {
  const module = await Test.createTestingModule({
    imports: [
      RedisModule.forRoot({ app: uniquePrefix(), env: {}, logger: new TestLog(), url: suite.url }),
      QueueModule.forRoot(QUIET),
      QueueModule.forFeature([Mail]),
    ],
  }).compile();
  const app = module.createNestApplication<NestExpressApplication>(new ExpressAdapter());
  const board = new BoardAdapter();
  const queues = app.get(QueueService, { strict: false });
  createBullBoard({
    queues: queues.names.map((name) => new BullMQAdapter(queues.producer(name).raw, { readOnlyMode: true })),
    // Each package of Bull Board brings its own copy of the types.
    serverAdapter: board as unknown as Parameters<typeof createBullBoard>[0]['serverAdapter'],
  });
  board.setBasePath('/admin/queues');
  // The whole prefix is guarded: pages, scripts and the interface behind them.
  app.use('/admin/queues', (request: IncomingMessage, response: ServerResponse, next: () => void) => {
    if (request.headers.authorization === 'Bearer admin') next();
    else response.writeHead(401).end();
  });
  app.use('/admin/queues', board.getRouter());
  await app.listen(0, '127.0.0.1');
  const url = await app.getUrl();
  await queues.producer(Mail).add('purge', { days: 1 }, { tenantId: 'acme' });

  const refused = await fetch(`${url}/admin/queues/api/queues`);
  const shown = await fetch(`${url}/admin/queues/api/queues`, { headers: { authorization: 'Bearer admin' } });
  const page = await fetch(`${url}/admin/queues`, { headers: { authorization: 'Bearer admin' } });

  expect(refused.status).toBe(401);
  expect(page.status).toBe(200);
  expect(await shown.json()).toMatchObject({ queues: [{ name: 'mail__out', counts: { waiting: 1 } }] });
  await app.close();
});
