-- Writes an entry and takes the right to load it from whoever has it.
local function put(entry, lease, stamp, now, ttl, keep, body, wake, tell)
  local life = ttl + keep
  redis.call('SET', entry, entry_head(stamp, now + ttl * 1000, now + life * 1000) .. body, 'PX', life)
  if redis.call('DEL', lease) == 1 then redis.call('PUBLISH', wake, entry) end
  if tell ~= '' then redis.call('PUBLISH', tell, entry) end
end
