-- Compares the server with the one that kept the state until now. After a failover or a restart writes
-- and invalidations may be lost, so what was written before is no longer believed.
--
-- KEYS[1] state: hash of the bucket
-- KEYS[2] signal: of everything; written so that tracking tells of the change
-- ARGV[1] tell (string): channel on which changes are told, or empty
-- Reply [number, number]: server clock in microseconds; 1 when entries became void
--
-- Work: constant. Needs Redis 5.
--- @include "_clock.lua"
--- @include "_state.lua"
--- @include "_next-version.lua"
--- @include "_run-id.lua"
--- @include "_although-full.lua"

local now = server_now()
local run = run_id()
local state = redis.call('HMGET', KEYS[1], 'r', 'e', 'v', 'w')
if run ~= UNKNOWN and state[1] == run then return { now, 0 } end
local birth = next_version(state[3], state[4], now)
write_although_full(KEYS[1])
redis.call('HSET', KEYS[1], 'r', run, 'e', whole(birth), 'v', whole(birth))
if not state[2] then return { now, 0 } end
redis.call('SET', KEYS[2], whole(birth), 'PX', 3600000)
if ARGV[1] ~= '' then redis.call('PUBLISH', ARGV[1], KEYS[2]) end
return { now, 1 }
