-- Reads what health needs to know of a queue.
-- KEYS[1] wait: list of waiting jobs, oldest last
-- KEYS[2] prioritized: sorted set of waiting jobs with a priority
-- KEYS[3] active: list of running jobs
-- KEYS[4] delayed: sorted set of delayed jobs
-- KEYS[5] failed: sorted set of failed jobs by time
-- KEYS[6] meta: hash with the state of the queue
-- KEYS[7] workers: sorted set of workers by the time they count as gone
-- ARGV[1] windowMs (number): how far back failures count
-- Reply readonly (number | string | null)[]: waiting, active, delayed, failed, failed in the window, paused (0 or 1), workers, the server's clock in ms, id of the oldest job in the list, ids of the first and last job in the sorted set
-- Minimum server: Redis 5.0
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
return {
  redis.call('LLEN', KEYS[1]) + redis.call('ZCARD', KEYS[2]),
  redis.call('LLEN', KEYS[3]),
  redis.call('ZCARD', KEYS[4]),
  redis.call('ZCARD', KEYS[5]),
  redis.call('ZCOUNT', KEYS[5], now - ARGV[1], '+inf'),
  redis.call('HEXISTS', KEYS[6], 'paused'),
  redis.call('ZCOUNT', KEYS[7], now, '+inf'),
  now,
  redis.call('LINDEX', KEYS[1], -1),
  redis.call('ZRANGE', KEYS[2], 0, 0)[1] or false,
  redis.call('ZRANGE', KEYS[2], -1, -1)[1] or false,
}
