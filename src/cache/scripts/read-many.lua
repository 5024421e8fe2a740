-- Reads entries of one bucket, without those deleted by a tag or from before the birth of the state.
--
-- KEYS[1] state: hash of the bucket
-- KEYS[...] entries: entries
-- Reply [number, ...(Buffer | null)[]]: server clock in microseconds, and an entry per key
--
-- Work: one MGET, and one HMGET per entry with tags. Needs Redis 5.
--- @include "_clock.lua"
--- @include "_state.lua"
--- @include "_entry.lua"

local now = server_now()
local entries = redis.call('MGET', unpack(KEYS, 2))
local base = redis.call('HMGET', KEYS[1], 'e', '*')
local birth = base[1] and tonumber(base[1])
local deleted, expired = read_version(base[2])
local reply = { now }
for i, raw in ipairs(entries) do
  if is_entry(raw) then
    local stamp = struct.unpack('<d', raw, 3)
    if not birth or stamp < birth or stamp <= deleted then
      raw = false
    elseif stamp <= expired or string.byte(raw, 32) > 0 then
      raw = usable(KEYS[1], raw, now)
    end
  end
  reply[i + 1] = raw
end
return reply
