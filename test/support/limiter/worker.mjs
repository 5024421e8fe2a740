// One process of an application that limits: takes orders as JSON on its channel, uses the built package.
// Started by LimiterProcess; ends when its channel does.
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { RedisModule } from 'rednest';
import { RateLimiter, RateLimitModule } from 'rednest/rate-limit';

const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };
const { url, keyPrefix, options } = JSON.parse(process.argv[2] ?? '{}');

class WorkerModule {}

const app = await NestFactory.createApplicationContext(
  {
    module: WorkerModule,
    imports: [
      RedisModule.forRoot({ app: 'limiter-worker', env: {}, url, keyPrefix, logger: silent }),
      RateLimitModule.forRoot(options),
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
 * Four requests every 3 ms until the time is over, so that this process is idle most of the time.
 *
 * @param {{ id: string, policy: import('rednest/rate-limit').Policy, forMs: number, timeoutMs: number }} order
 */
async function watch({ id, policy, forMs, timeoutMs }) {
  const calls = [];
  const untilMs = performance.now() + forMs;
  while (performance.now() < untilMs) {
    for (let count = 0; count < 4; count += 1) calls.push(watchOne(id, policy, timeoutMs));
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  return Promise.all(calls);
}

/**
 * @param {string} id
 * @param {import('rednest/rate-limit').Policy} policy
 * @param {number} timeoutMs
 */
async function watchOne(id, policy, timeoutMs) {
  let sameTurn = true;
  let timerMs = Infinity;
  const startedMs = performance.now();
  setImmediate(() => (sameTurn = false));
  const timer = setTimeout(() => (timerMs = performance.now()), timeoutMs);
  const { source } = await limiter.consume(id, policy);
  const endedMs = performance.now();
  clearTimeout(timer);
  return { startedMs, endedMs, source, sameTurn, afterTimerMs: Math.max(0, endedMs - timerMs) };
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
const ORDERS = { flood, stream, watch, hold };

process.on('message', (/** @type {{ what: string }} */ order) => {
  const answer = ORDERS[order.what]?.(order) ?? Promise.reject(new Error('unknown order'));
  answer.then(
    (result) => process.send?.({ result }),
    (error) => process.send?.({ error: String(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
process.send?.({ result: 'ready' });
