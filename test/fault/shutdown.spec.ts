import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  Controller,
  Get,
  Inject,
  Injectable,
  Module,
  type INestApplication,
  type OnModuleDestroy,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { DrainRegistry, REDIS, RedisModule, type RedisClient } from 'rednest';
import { InjectQueueProducer, OnJob, QueueModule, QueueProcessor, type QueueProducer } from 'rednest/queue';
import { eventually } from '../support/eventually.js';
import { uniquePrefix } from '../support/prefix.js';
import { startEmbedded, type TestServer } from '../support/servers.js';
import { TestLog } from '../support/test-log.js';

let server: TestServer;
beforeAll(async () => {
  server = await startEmbedded();
});
afterAll(() => server.stop());

const QUEUE = 'shutdown__jobs';

/** Something a handler waits at until the test lets it through. */
class Gate {
  private open = (): void => undefined;
  private readonly opened = new Promise<void>((resolve) => (this.open = resolve));
  reached = false;

  async pass(): Promise<void> {
    this.reached = true;
    await this.opened;
  }

  release(): void {
    this.open();
  }
}

function createModules(databaseFirst: boolean) {
  const events: string[] = [];
  const request = new Gate();
  const job = new Gate();

  @Injectable()
  class Database implements OnModuleDestroy {
    closed = false;
    onModuleDestroy(): void {
      this.closed = true;
      events.push('database closed');
    }
  }
  @Module({ providers: [Database], exports: [Database] })
  class DatabaseModule {}

  @QueueProcessor(QUEUE)
  class Processor {
    constructor(
      readonly database: Database,
      @Inject(REDIS) readonly redis: RedisClient,
      @InjectQueueProducer(QUEUE) readonly queue: QueueProducer,
    ) {}
    @OnJob('work') async work(): Promise<void> {
      await job.pass();
      await this.redis.ping();
      await this.queue.add('follow-up', 1, { delay: 60_000 });
      events.push(`job done, database ${this.database.closed ? 'closed' : 'open'}`);
    }
  }

  @Controller()
  class SlowController {
    constructor(
      @Inject(REDIS) readonly redis: RedisClient,
      @InjectQueueProducer(QUEUE) readonly queue: QueueProducer,
    ) {}
    @Get('start') async start(): Promise<{ id: string }> {
      return { id: await this.queue.add('work', 1) };
    }
    @Get('slow') async slow(): Promise<{ pong: string }> {
      await request.pass();
      const pong = await this.redis.ping();
      events.push('request done');
      return { pong };
    }
  }

  @Module({
    imports: [DatabaseModule, QueueModule.forFeature([QUEUE])],
    controllers: [SlowController],
    providers: [Processor],
  })
  class JobsModule {}

  const app = uniquePrefix();
  const redis = RedisModule.forRoot({ url: server.url, app, env: {}, logger: new TestLog() });
  const features = databaseFirst ? [DatabaseModule, JobsModule] : [JobsModule, DatabaseModule];
  @Module({ imports: [redis, QueueModule.forRoot(), ...features] })
  class AppModule {}
  return { AppModule, events, request, job };
}

describe('R8 app.close() with a request and a job in flight', () => {
  it.each([
    { adapter: 'fastify', databaseFirst: true },
    { adapter: 'fastify', databaseFirst: false },
    { adapter: 'express', databaseFirst: true },
    { adapter: 'express', databaseFirst: false },
  ])(
    'both finish on $adapter (database imported first: $databaseFirst)',
    async ({ adapter, databaseFirst }) => {
      const { AppModule, events, request, job } = createModules(databaseFirst);
      const http = adapter === 'fastify' ? new FastifyAdapter() : new ExpressAdapter();
      const app: INestApplication = await NestFactory.create(AppModule, http, { logger: false });
      await app.listen(0, '127.0.0.1');
      const url = await app.getUrl();
      await fetch(`${url}/start`);
      await eventually('the job runs', () => job.reached);
      const slow = fetch(`${url}/slow`);
      await eventually('the request runs', () => request.reached);
      const redis = app.get<RedisClient>(REDIS);
      const drain = app.get(DrainRegistry);

      const closing = app.close();
      await eventually('draining', () => drain.state === 'draining');
      const statusWhileDraining = redis.status;
      job.release();
      await eventually('handlers are done', () => drain.state === 'drained');
      request.release();
      const answer: unknown = await (await slow).json();
      await closing;

      expect(statusWhileDraining).toBe('ready');
      expect(answer).toEqual({ pong: 'PONG' });
      expect(events.filter((event) => event !== 'request done')).toEqual([
        'job done, database open',
        'database closed',
      ]);
      expect(events).toContain('request done');
      expect(redis.status).toBe('end');
    },
  );
});
