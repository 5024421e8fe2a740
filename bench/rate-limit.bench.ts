// One decision for one policy over 1,000 identities, always allowed.
import { RateLimiterRedis } from 'rate-limiter-flexible';
import { KEYS, type Bench } from './lib/bench.js';

const LIMIT = 60_000;
const WINDOW_MS = 60_000;

/** The least a shared counter can do: a fixed window, no clock, no wait time. */
const FLOOR_SCRIPT = `local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return n`;

export const rateLimitBench: Bench = {
  capability: 'rate-limit',
  sequential: 2000,
  concurrent: 15_000,
  async open({ limiter, floor }) {
    const raw = floor();
    const sha1 = String(await raw.script('LOAD', FLOOR_SCRIPT));
    const flexible = new RateLimiterRedis({
      storeClient: raw,
      points: LIMIT,
      duration: WINDOW_MS / 1000,
      keyPrefix: 'flexible',
    });
    const policy = { name: 'bench', limit: LIMIT, window: WINDOW_MS };
    const ids = Array.from({ length: KEYS }, (_, index) => `203.0.113.${index}`);
    const id = (index: number): string => ids[index % KEYS]!;
    return {
      operation: 'decision, allowed',
      variants: [
        {
          name: 'ioredis evalsha INCR + PEXPIRE',
          run: (index) => raw.evalsha(sha1, 1, `floor:{${id(index)}}`, WINDOW_MS),
        },
        { name: 'RateLimiter.consume', run: (index) => limiter.consume(id(index), policy) },
        { name: 'rate-limiter-flexible consume', run: (index) => flexible.consume(id(index)) },
      ],
    };
  },
};
