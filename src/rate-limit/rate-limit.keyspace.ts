import { defineKeyspace } from '../redis/index.js';

/**
 * Keys of limits are short, because there is one per identity and policy and the key is most of what
 * it costs: `rl`, the identity as hash tag, a letter for the algorithm, then what else decides how the
 * bytes are read. A policy whose algorithm or precision changes starts anew instead of misreading them.
 */
const shared = { capability: 'rl', routing: 'identity', ttl: 'per-call' } as const;

/** Counters of the sliding window. The window, in base 36, is part of the key. */
export const SLIDING_KEYSPACE = defineKeyspace({
  ...shared,
  name: 's',
  parts: ['counter', 'precision', 'window'],
  value: 'bytes',
  description: 'Rate limit, sliding: requests per sub-window; lives one window after the last one, plus 1 s',
});

/** The time at which a bucket is full again. */
export const GCRA_KEYSPACE = defineKeyspace({
  ...shared,
  name: 'g',
  parts: ['counter'],
  value: 'integer',
  description: 'Rate limit, gcra: nanosecond at which the bucket is full again; lives until then',
});

/** End and count of a fixed window. */
export const FIXED_KEYSPACE = defineKeyspace({
  ...shared,
  name: 'f',
  parts: ['counter'],
  value: 'bytes',
  description: 'Rate limit, fixed: end of the window and requests in it; lives until that end',
});

/** Times of all requests in the window. */
export const LOG_KEYSPACE = defineKeyspace({
  ...shared,
  name: 'l',
  parts: ['counter'],
  value: 'list',
  description: 'Rate limit, sliding log: time of each request; lives one window after the last one',
});

/** Blocks of a policy. */
export const BLOCK_KEYSPACE = defineKeyspace({
  ...shared,
  name: 'b',
  parts: ['counter'],
  value: 'bytes',
  description: 'Rate limit: end and number of the blocks of an identity; lives until they are forgotten',
});

/** Times of resets. */
export const RESET_KEYSPACE = defineKeyspace({
  ...shared,
  name: 'r',
  parts: ['counter'],
  value: 'integer',
  description: 'Rate limit: microsecond of the last reset; lives until no earlier call can be refunded',
});

/** Slots of a concurrency limit. */
export const SLOTS_KEYSPACE = defineKeyspace({
  ...shared,
  name: 'n',
  parts: ['counter'],
  value: 'zset',
  description: 'Concurrency limit: leased slots and when each lease ends; lives until the last one does',
});

/** Counters of `RedisThrottlerStorage`. */
export const THROTTLER_KEYSPACE = defineKeyspace({
  ...shared,
  name: 't',
  parts: ['throttler'],
  value: 'bytes',
  description: 'Storage of @nestjs/throttler: end of window and block, and hits; lives until the later end',
});

/** All of them, for the registry. */
export const RATE_LIMIT_KEYSPACES = [
  SLIDING_KEYSPACE,
  GCRA_KEYSPACE,
  FIXED_KEYSPACE,
  LOG_KEYSPACE,
  BLOCK_KEYSPACE,
  RESET_KEYSPACE,
  SLOTS_KEYSPACE,
  THROTTLER_KEYSPACE,
] as const;
