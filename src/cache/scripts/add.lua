-- Writes an entry unless a fresh one is there, and voids a load of it that is running.
--
-- KEYS[1] state: hash of the bucket
-- KEYS[2] entry: entry
-- KEYS[3] lease: lease of the load
-- ARGV[1] ttl (number): time to live in milliseconds
-- ARGV[2] keep (number): how long it is kept after that, in milliseconds
-- ARGV[3] body (string | Buffer): the entry without its head
-- ARGV[4] wake (string): channel on which waiters are woken
-- ARGV[5] tell (string): channel on which changes are told, or empty
-- Reply number: stamp in microseconds; 0 when nothing was added
--
-- Work: constant. Needs Redis 5.
--- @include "_clock.lua"
--- @include "_state.lua"
--- @include "_stamp.lua"
--- @include "_head.lua"
--- @include "_version.lua"
--- @include "_usable.lua"
--- @include "_read.lua"
--- @include "_put.lua"

local now = server_now()
local raw = usable(KEYS[1], read_entry(KEYS[2]), now)
-- One of another version is a miss to whoever asks: its place among the bytes, here and in the body.
if raw and is_fresh(raw, now) and string.sub(raw, 33, 35) == string.sub(ARGV[3], 7, 9) then return 0 end
local ttl, keep = tonumber(ARGV[1]), tonumber(ARGV[2])
local stamp = next_stamp(KEYS[1], now, (ttl + keep) * 1000)
put(KEYS[2], KEYS[3], stamp, now, ttl, keep, ARGV[3], ARGV[4], ARGV[5])
return stamp
