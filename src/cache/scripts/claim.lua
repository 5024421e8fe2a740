-- Takes the right to load an entry from whoever has it, for a write of the store behind the cache.
--
-- KEYS[1] state: hash of the bucket
-- KEYS[2] lease: lease of the load
-- ARGV[1] token (string): of the write
-- ARGV[2] lease (number): how long the right lasts without renewal, in milliseconds
-- Reply number: stamp in microseconds
--- @include "_clock.lua"
--- @include "_state.lua"
--- @include "_stamp.lua"

-- Those who wait for whoever had it now wait for this one, which must know to wake them.
local holder = redis.call('GET', KEYS[2]) or ''
local waited = string.sub(holder, -1) == '+' and '+' or ''
redis.call('SET', KEYS[2], ARGV[1] .. waited, 'PX', ARGV[2])
return next_stamp(KEYS[1], server_now(), 0)
