-- Reads entries, without those that are void; the usual ones share one look at the state.
local function read_entries(state_key, now, keys)
  local entries = redis.call('MGET', unpack(keys))
  local base = redis.call('HMGET', state_key, 'e', '*')
  local birth = base[1] and tonumber(base[1])
  local deleted, expired = read_version(base[2])
  for i, raw in ipairs(entries) do
    if is_entry(raw) then
      local stamp = struct.unpack('<d', raw, 3)
      if not birth or stamp < birth or stamp <= deleted then
        entries[i] = false
      elseif stamp <= expired or string.byte(raw, 32) > 0 then
        entries[i] = usable(state_key, raw, now)
      end
    end
  end
  return entries
end
