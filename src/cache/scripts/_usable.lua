local TAGS_AT = 44

local function is_entry(raw)
  return type(raw) == 'string' and #raw >= TAGS_AT - 1 and string.sub(raw, 1, 2) == 'r3'
end

-- Adds the fields of the entry's tags; nil when they run past its end.
local function entry_tags(raw, fields)
  local at = TAGS_AT
  for _ = 1, string.byte(raw, 32) do
    local high, low = string.byte(raw, at, at + 1)
    local last = low and at + 1 + high * 128 + low
    if not last or last > #raw then return nil end
    fields[#fields + 1] = 't:' .. string.sub(raw, at + 2, last)
    at = last + 1
  end
  return fields
end

-- The entry as it may be used now: itself, with an earlier end of freshness if its tags have expired,
-- or false when it is void. What is not an entry is passed on as text that is none, to be counted.
local function usable(state_key, raw, now)
  if not is_entry(raw) then return raw end
  local fields = entry_tags(raw, { 'e', '*' })
  if not fields then return '' end
  local versions = redis.call('HMGET', state_key, unpack(fields))
  local stamp, soft = struct.unpack('<dd', raw, 3)
  if not versions[1] or stamp < tonumber(versions[1]) then return false end
  local ended = soft
  for i = 2, #versions do
    if versions[i] then
      local deleted, expired = read_version(versions[i])
      if stamp <= deleted then return false end
      -- A version may be ahead of the clock.
      if stamp <= expired then ended = math.min(ended, expired, now) end
    end
  end
  if ended < soft then
    return string.sub(raw, 1, 10) .. struct.pack('<d', ended) .. string.sub(raw, 19)
  end
  return raw
end
