// One process of an application that limits: takes orders as JSON on its channel, uses the built package.
// Started by LimiterProcess; ends when its channel does.
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { RedisModule } from 'rednest';
import { RateLimiter, RateLimitModule } from 'rednest/rate-limit';

const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };
const { url, keyPrefix } = JSON.parse(process.argv[2] ?? '{}');

class WorkerModule {}

const app = await NestFactory.createApplicationContext(
  {
    module: WorkerModule,
    imports: [
      RedisModule.forRoot({ app: 'limiter-worker', env: {}, url, keyPrefix, logger: silent }),
      RateLimitModule.forRoot({ timeout: '10s', onError: 'closed', denyCache: false }),
    ],
  },
  { logger: false },
);
const limiter = app.get(RateLimiter);

/**
 * `count` requests on one key, `lanes` at a time.
 *
 * @param {{ id: string, policy: import('rednest/rate-limit').Policy, count: number, lanes: number }} order
 */
async function flood({ id, policy, count, lanes }) {
  const startMs = Date.now();
  let next = 0;
  let admitted = 0;
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      while (next++ < count) if ((await limiter.consume(id, policy)).allowed) admitted += 1;
    }),
  );
  return { admitted, startMs, endMs: Date.now() };
}

/**
 * Requests one after the other until the time is over; tells when each admitted one was asked and answered.
 *
 * @param {{ id: string, policy: import('rednest/rate-limit').Policy, forMs: number }} order
 */
async function stream({ id, policy, forMs }) {
  const admitted = [];
  const untilMs = Date.now() + forMs;
  while (Date.now() < untilMs) {
    const askedMs = performance.timeOrigin + performance.now();
    const { allowed } = await limiter.consume(id, policy);
    if (allowed) admitted.push([askedMs, performance.timeOrigin + performance.now()]);
  }
  return { admitted };
}

/**
 * Takes a slot and keeps it until the process dies.
 *
 * @param {{ id: string, policy: import('rednest/rate-limit').ConcurrencyPolicy }} order
 */
async function hold({ id, policy }) {
  await limiter.concurrency(id, policy);
  return {};
}

/** @type {Record<string, (order: any) => Promise<unknown>>} */
const ORDERS = { flood, stream, hold };

process.on('message', (/** @type {{ what: string }} */ order) => {
  const answer = ORDERS[order.what]?.(order) ?? Promise.reject(new Error('unknown order'));
  answer.then(
    (result) => process.send?.({ result }),
    (error) => process.send?.({ error: String(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
process.send?.({ result: 'ready' });
