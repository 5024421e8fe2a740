-- Writes an entry and takes the right to load it from whoever has it. The stamp.
local function put(now, ttl, keep, body, wake, tell)
  local life = ttl + keep
  local stamp = next_stamp(KEYS[1], now, life * 1000)
  redis.call('SET', KEYS[2], entry_head(stamp, now + ttl * 1000, now + life * 1000) .. body, 'PX', life)
  if redis.call('DEL', KEYS[3]) == 1 then redis.call('PUBLISH', wake, KEYS[2]) end
  if tell ~= '' then redis.call('PUBLISH', tell, KEYS[2]) end
  return stamp
end
