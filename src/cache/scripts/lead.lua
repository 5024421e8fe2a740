-- Reads an entry, or takes the right to load it.
--
-- KEYS[1] state: hash of the bucket
-- KEYS[2] entry: entry
-- KEYS[3] lease: lease of the load
-- ARGV[1] token (string): of this load
-- ARGV[2] lease (number): how long the right lasts without renewal, in milliseconds
-- ARGV[...] rest (string | number | Buffer): nothing more in the usual case, otherwise: a stamp, to load also when the
--   fresh entry is the one with this stamp, or any ('*'), empty for none; the mark of the copy the caller has, empty
--   for none; 1 when the caller has waited for another load
-- Reply [number, Buffer | null | 1, (1 | 2 | 3 | 4)?, number?]: server clock in microseconds; the entry, 1
--   when the copy is still right; a role and a number, or none when the entry is fresh. Role 1: load, and
--   the stamp of the load. 2: another one loads, 3: nobody may for now, and how long that lasts in ms.
--   4: what was waited for is not kept
--
-- Work: constant. Needs Redis 5.
--- @include "_clock.lua"
--- @include "_state.lua"
--- @include "_stamp.lua"
--- @include "_version.lua"
--- @include "_usable.lua"
--- @include "_read.lua"
--- @include "_take.lua"

local now = server_now()
local raw = usable(KEYS[1], read_entry(KEYS[2]), now)
local replace, known = ARGV[3] or '', ARGV[4] or ''
local will_do = is_fresh(raw, now) and replace ~= '*'
if will_do and replace ~= '' then
  local stamp = struct.unpack('<d', raw, 3)
  will_do = whole(stamp) ~= replace
end
local is_there = raw ~= false
if raw and known ~= '' and string.sub(raw, 3, 30) == known then raw = 1 end
if will_do then return { now, raw } end
local role, detail = take(KEYS[3], ARGV[1], ARGV[2], ARGV[5] == '1', is_there)
if role == 1 then detail = next_stamp(KEYS[1], now, 0) end
return { now, raw, role, detail }
