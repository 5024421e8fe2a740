// One decision over 1,000 identities, always allowed: by one policy of each algorithm, and by two.
import { ThrottlerStorageRedisService } from '@nest-lab/throttler-storage-redis';
import { RedisStore, type RedisReply } from 'rate-limit-redis';
import { RateLimiterRedis } from 'rate-limiter-flexible';
import type { Policy, RateLimitAlgorithm } from '../dist/rate-limit/index.js';
import type { RedisClient } from '../dist/index.js';
import { KEYS, type Bench, type Variant } from './lib/bench.js';
import { reportMemory } from './rate-limit-memory.js';

const LIMIT = 60_000;
const WINDOW_MS = 60_000;

/** The least a shared counter can do: a fixed window, no clock, no wait time. */
const FLOOR_SCRIPT = `local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return n`;

const policy = (name: string, algorithm: RateLimitAlgorithm): Policy => ({
  name,
  limit: LIMIT,
  window: WINDOW_MS,
  algorithm,
});

/** A value of a peer's own type; that type is unknown where the peers are not installed. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the result takes the type that is asked for
function foreign<T>(value: unknown): T {
  return value as T;
}

export const rateLimitBench: Bench = {
  capability: 'rate-limit',
  sequential: 2000,
  concurrent: 15_000,
  async open({ limiter, floor, url }) {
    const raw = floor();
    const sha1 = String(await raw.script('LOAD', FLOOR_SCRIPT));
    const ids = Array.from({ length: KEYS }, (_, index) => `203.0.113.${index}`);
    const id = (index: number): string => ids[index % KEYS]!;
    const ours = (name: string, policies: Policy | readonly Policy[]): Variant => ({
      name,
      run: (index) => limiter.consume(id(index), policies),
    });
    const two = [policy('two-a', 'sliding'), policy('two-b', 'gcra')];
    await reportMemory({ limiter, raw, url });
    return {
      operation: 'decision, allowed',
      variants: [
        {
          name: 'ioredis evalsha INCR + PEXPIRE',
          run: (index) => raw.evalsha(sha1, 1, `floor:{${id(index)}}`, WINDOW_MS),
        },
        ours('RateLimiter.consume, sliding', policy('sliding', 'sliding')),
        ours('RateLimiter.consume, gcra', policy('gcra', 'gcra')),
        ours('RateLimiter.consume, fixed', policy('fixed', 'fixed')),
        ours('RateLimiter.consume, sliding and gcra', two),
        ...peers(raw, id),
      ],
    };
  },
};

/** All of them are fixed windows: they let twice the limit through around an edge. */
function peers(raw: RedisClient, id: (index: number) => string): Variant[] {
  const flexible = new RateLimiterRedis({
    storeClient: raw,
    points: LIMIT,
    duration: WINDOW_MS / 1000,
    keyPrefix: 'flexible',
  });
  const express = new RedisStore({
    sendCommand: (command, ...args) => raw.call(command, ...args) as Promise<RedisReply>,
    prefix: 'express:',
  });
  void express.init(foreign({ windowMs: WINDOW_MS }));
  const nest = new ThrottlerStorageRedisService(foreign(raw));
  return [
    { name: 'rate-limiter-flexible consume', run: (index) => flexible.consume(id(index)) },
    { name: 'rate-limit-redis increment', run: (index) => express.increment(id(index)) },
    {
      name: '@nest-lab/throttler-storage-redis',
      run: (index) => nest.increment(id(index), WINDOW_MS, LIMIT, WINDOW_MS, 'bench'),
    },
  ];
}
