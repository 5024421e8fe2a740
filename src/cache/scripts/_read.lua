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
