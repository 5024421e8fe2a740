-- Reads entries of one bucket, and takes the right to load those that are not fresh.
--
-- KEYS[1] state: hash of the bucket
-- KEYS[...] entries_and_leases: all entries, then all leases
-- ARGV[1] token (string): of this load
-- ARGV[2] lease (number): how long the right lasts without renewal, in milliseconds
-- ARGV[3] waited (0 | 1): 1 when the caller has waited for another load
-- ARGV[...] replace (string | number): for each key, also load when the fresh entry is the one with this stamp, or any
--   ('*'); empty for none
-- Reply [number, number, ...(Buffer | null | 0 | 1 | 2 | 3 | 4)[]]: server clock, and stamp of the loads, in
--   microseconds; for each key the entry and 0 when it is fresh, otherwise the stamp of what is there, as text, and the
--   role, as from LEAD
--
-- Work: one MGET, and one HMGET per entry with tags; constant per key that is not fresh. Needs Redis 5.
--- @include "_clock.lua"
--- @include "_state.lua"
--- @include "_stamp.lua"
--- @include "_version.lua"
--- @include "_usable.lua"
--- @include "_read.lua"
--- @include "_read-many.lua"
--- @include "_take.lua"

local now = server_now()
local count = (#KEYS - 1) / 2
local entries = read_entries(KEYS[1], now, { unpack(KEYS, 2, count + 1) })
local reply = { now, 0 }
for i, raw in ipairs(entries) do
  local stamp = is_entry(raw) and whole((struct.unpack('<d', raw, 3))) or false
  local replace = ARGV[i + 3]
  local role = 0
  if replace == '*' or replace == stamp or not is_fresh(raw, now) then
    role = take(KEYS[count + 1 + i], ARGV[1], ARGV[2], ARGV[3] == '1', raw ~= false)
    raw = stamp
    if role == 1 and reply[2] == 0 then reply[2] = next_stamp(KEYS[1], now, 0) end
  end
  reply[2 * i + 1] = raw
  reply[2 * i + 2] = role
end
return reply
