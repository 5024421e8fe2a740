-- Writes entries of one bucket, and voids loads of them that are running.
--
-- KEYS[1] state: hash of the bucket
-- KEYS[...] pairs: entry and lease, for each key
-- ARGV[1] wake (string): channel on which waiters are woken
-- ARGV[2] tell (string): channel on which changes are told, or empty
-- ARGV[...] contents (string | number | Buffer): for each key the time to live, and how long it is kept after that, in
--   milliseconds, and the entry without its head
-- Reply number: stamp of all of them, in microseconds
--
-- Work: constant per key. Needs Redis 5.
--- @include "_clock.lua"
--- @include "_state.lua"
--- @include "_stamp.lua"
--- @include "_head.lua"
--- @include "_put.lua"

local now = server_now()
local longest = 0
for at = 3, #ARGV, 3 do
  longest = math.max(longest, tonumber(ARGV[at]) + tonumber(ARGV[at + 1]))
end
local stamp = next_stamp(KEYS[1], now, longest * 1000)
for i = 1, (#KEYS - 1) / 2 do
  local at = 3 * i
  local ttl, keep = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  put(KEYS[2 * i], KEYS[2 * i + 1], stamp, now, ttl, keep, ARGV[at + 2], ARGV[1], ARGV[2])
end
return stamp
