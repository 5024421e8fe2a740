-- Reads an entry, or takes the right to load it.
--
-- KEYS[1] state: hash of the bucket
-- KEYS[2] entry: entry
-- KEYS[3] lease: lease of the load
-- ARGV[1] token (string): of this load
-- ARGV[2] lease (number): how long the right lasts without renewal, in milliseconds
-- ARGV[3] force (0 | 1): 1 loads although the entry is fresh
-- ARGV[4] known (string | Buffer): mark of the copy the caller has; empty for none
-- Reply [number, Buffer | null | 1, (1 | 2 | 3)?, number?]: server clock in microseconds; the entry, 1
--   when the copy is still right; a role and a number, or none when the entry is fresh. Role 1: load, and
--   the stamp of the load. 2: another one loads, 3: nobody may for now, and how long that lasts in ms
--
-- Work: constant. Needs Redis 5.
--- @include "_clock.lua"
--- @include "_state.lua"
--- @include "_entry.lua"

local now = server_now()
local raw = usable(KEYS[1], read_entry(KEYS[2]), now)
local fresh = is_fresh(raw, now)
if raw and ARGV[4] ~= '' and string.sub(raw, 3, 30) == ARGV[4] then raw = 1 end
if ARGV[3] == '0' and fresh then return { now, raw } end
if redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2], 'NX') then
  return { now, raw, 1, next_stamp(KEYS[1], now, 0) }
end
local holder = redis.call('GET', KEYS[3])
-- The same call, sent again because its first answer was lost.
if string.sub(holder, 1, #ARGV[1]) == ARGV[1] then return { now, raw, 1, next_stamp(KEYS[1], now, 0) } end
local left = math.max(1, redis.call('PTTL', KEYS[3]))
if string.sub(holder, 1, 1) == '!' then return { now, raw, 3, left } end
-- Whoever fills the entry publishes only if somebody waits.
if string.sub(holder, -1) ~= '+' then redis.call('APPEND', KEYS[3], '+') end
return { now, raw, 2, left }
