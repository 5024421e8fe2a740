// A worker as a process of its own, on the built package. What a job does is in its payload; what happens
// is printed line by line, and counted in Redis under `runs:<job>` and `done:<job>`.
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { z } from 'zod';
import { enableGracefulShutdown, REDIS, RedisModule } from '../../dist/index.js';
import {
  defineQueue,
  OnDeadLetter,
  OnJob,
  QueueModule,
  QueueProcessor,
  QueueService,
} from '../../dist/queue/index.js';

const { REDIS_URL, APP, LOCK_MS = '1000', DIES_WHEN_TOLD } = process.env;
const Work = defineQueue('proc__work', {
  tenant: false,
  jobs: { work: { data: z.object({ kind: z.string(), ms: z.number().default(0) }) } },
  attempts: 5,
  backoff: 1,
});
const Next = defineQueue('proc__next', { tenant: false, jobs: { next: { data: z.unknown() } } });

const say = (/** @type {string} */ line) => process.stdout.write(`${line}\n`);

class Processor {
  /** @param {import('ioredis').Redis} redis @param {QueueService} queues */
  constructor(redis, queues) {
    this.redis = redis;
    this.queues = queues;
  }

  /** @param {{ kind: string, ms: number }} data @param {import('../../dist/queue/index.js').JobContext} context */
  async work({ kind, ms }, { job, signal }) {
    await this.redis.incr(`runs:${job.id}`);
    say(`started ${job.id}`);
    if (kind === 'die') process.kill(process.pid, 'SIGKILL');
    if (kind === 'fail') throw new Error('no');
    if (kind === 'stubborn') await new Promise(() => signal.addEventListener('abort', () => say('aborted')));
    await new Promise((resolve) => setTimeout(resolve, ms));
    if (kind === 'chain') await this.queues.producer(Next).add('next', job.id);
    await this.redis.incr(`done:${job.id}`);
    say(`done ${job.id}`);
  }

  /** @param {import('../../dist/queue/index.js').DeadLetter} letter */
  async dead({ jobId }) {
    const told = await this.redis.incr(`told:${jobId}`);
    say(`told ${jobId}`);
    if (DIES_WHEN_TOLD && told === 1) process.kill(process.pid, 'SIGKILL');
  }
}
OnDeadLetter()(
  Processor.prototype,
  'dead',
  /** @type {any} */ (Object.getOwnPropertyDescriptor(Processor.prototype, 'dead')),
);
const descriptor = /** @type {PropertyDescriptor} */ (
  Object.getOwnPropertyDescriptor(Processor.prototype, 'work')
);
OnJob('work')(Processor.prototype, 'work', /** @type {any} */ (descriptor));
QueueProcessor(['proc__work'], {
  concurrency: 5,
  lockDuration: Number(LOCK_MS),
  stalledInterval: Number(LOCK_MS),
})(Processor);
Reflect.defineMetadata('design:paramtypes', [Object, QueueService], Processor);

class App {}
Module({
  imports: [
    RedisModule.forRoot({
      url: REDIS_URL,
      app: APP,
      env: {},
      shutdownTimeout: Number(process.env['SHUTDOWN_MS'] ?? 25_000),
    }),
    QueueModule.forRoot({ sweepInterval: null }),
    QueueModule.forFeature([Work, Next]),
  ],
  providers: [
    {
      provide: Processor,
      useFactory: (redis, queues) => new Processor(redis, queues),
      inject: [REDIS, QueueService],
    },
  ],
})(App);

const app = await NestFactory.createApplicationContext(App, { logger: false });
enableGracefulShutdown(app);
say('ready');
