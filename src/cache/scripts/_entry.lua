-- An entry: "r2", stamp, end of freshness and end of life (doubles, microseconds), a random mark (4
-- bytes), flags, number of tags, shape version (2), load time (4), length of the tags (2), the tags
-- (length byte and text each), the rest. What stands before the flags tells two writings apart.
local HEAD = 'r2'
local TAGS_AT = 41

local function entry_head(stamp, soft, hard)
  return HEAD .. struct.pack('<ddd', stamp, soft, hard)
end

local function is_entry(raw)
  return type(raw) == 'string' and #raw >= TAGS_AT - 1 and string.sub(raw, 1, 2) == HEAD
end

-- Adds the fields of the entry's tags; nil when they run past its end.
local function entry_tags(raw, fields)
  local at = TAGS_AT
  for _ = 1, string.byte(raw, 32) do
    local length = string.byte(raw, at)
    if not length or at + length > #raw then return nil end
    fields[#fields + 1] = 't:' .. string.sub(raw, at + 1, at + length)
    at = at + length + 1
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

-- A key of another type is like text that is not an entry.
local function read_entry(key)
  local raw = redis.pcall('GET', key)
  if type(raw) == 'table' then return '' end
  return raw
end

local function is_fresh(raw, now)
  if not is_entry(raw) then return false end
  local soft = struct.unpack('<d', raw, 11)
  return soft > now
end
