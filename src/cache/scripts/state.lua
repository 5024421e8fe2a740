-- Reads what a process needs to check entries by itself.
--
-- KEYS[1] state: hash of the bucket
-- ARGV[1] limit (number): fields at most; a larger state is not copied
-- Reply [number, Buffer[]]: server clock in microseconds; fields and values in turn, none when there are too many
--
-- Work: one HGETALL of bounded size. Needs Redis 5.
--- @include "_clock.lua"

local now = server_now()
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[1]) then return { now, {} } end
return { now, redis.call('HGETALL', KEYS[1]) }
