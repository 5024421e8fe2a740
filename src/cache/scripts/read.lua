-- Reads one entry, unless it was deleted by a tag or is from before the birth of the state.
--
-- KEYS[1] state: hash of the bucket
-- KEYS[2] entry: entry
-- ARGV[...] known (Buffer): mark of the copy the caller has, if it has one
-- Reply [number, Buffer | null | 1]: server clock in microseconds; 1 when the copy is still right
--
-- Work: one GET and one HMGET. Needs Redis 5.
--- @include "_clock.lua"
--- @include "_version.lua"
--- @include "_usable.lua"
--- @include "_read.lua"

local now = server_now()
local raw = usable(KEYS[1], read_entry(KEYS[2]), now)
if raw and ARGV[1] and string.sub(raw, 3, 30) == ARGV[1] then return { now, 1 } end
return { now, raw }
