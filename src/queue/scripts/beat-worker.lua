-- Notes that a worker lives, and forgets those that have not been heard of.
-- KEYS[1] workers: sorted set of workers by the time they count as gone, in milliseconds of the server's clock
-- ARGV[1] worker (string): name of the worker
-- ARGV[2] ttlMs (number): how long it counts as living; 0 says that it stops
-- Reply number: workers that live
-- Minimum server: Redis 5.0
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if ARGV[2] == '0' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[2] * 2)
end
return redis.call('ZCARD', KEYS[1])
