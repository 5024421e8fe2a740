import { defineKeyspace } from '../redis/index.js';

/**
 * Counters of the sliding window. The window is part of the key, so a policy whose window was
 * changed starts anew instead of misreading the old counters.
 */
export const SLIDING_KEYSPACE = defineKeyspace({
  capability: 'rate-limit',
  name: 'sliding',
  routing: 'identity',
  parts: ['counter', 'windowMs'],
  ttl: 'per-call',
  value: 'bytes',
  description: 'Requests of one identity per sub-window; lives one window after the last request, plus 1 s',
});
