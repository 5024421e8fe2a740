-- Writes an entry, and voids a load of it that is running.
--
-- KEYS[1] state: hash of the bucket
-- KEYS[2] entry: entry
-- KEYS[3] lease: lease of the load
-- ARGV[1] ttl (number): time to live in milliseconds
-- ARGV[2] keep (number): how long it is kept after that, in milliseconds
-- ARGV[3] body (string | Buffer): the entry without its head
-- ARGV[4] wake (string): channel on which waiters are woken
-- ARGV[5] tell (string): channel on which changes are told, or empty
-- Reply number: stamp in microseconds
--
-- Work: constant. Needs Redis 5.
--- @include "_clock.lua"
--- @include "_state.lua"
--- @include "_stamp.lua"
--- @include "_head.lua"
--- @include "_put.lua"

local now = server_now()
local ttl, keep = tonumber(ARGV[1]), tonumber(ARGV[2])
local stamp = next_stamp(KEYS[1], now, (ttl + keep) * 1000)
put(KEYS[2], KEYS[3], stamp, now, ttl, keep, ARGV[3], ARGV[4], ARGV[5])
return stamp
