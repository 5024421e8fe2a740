-- Reserves stamps ahead, so that not every write has to record its own.
local RESERVE = 100000

-- A stamp for an entry written or a load begun now.
local function next_stamp(state_key, now, keep)
  local state = redis.call('HMGET', state_key, 'e', 'v', 'w', 'k')
  local stamp = now
  if state[2] and now <= tonumber(state[2]) then stamp = tonumber(state[2]) + 1 end
  -- After a clock that went back: what is older than the birth is void.
  if state[1] and stamp < tonumber(state[1]) then stamp = tonumber(state[1]) end
  if not state[1] then
    redis.call('HSET', state_key, 'e', whole(stamp), 'w', whole(stamp + RESERVE), 'k', whole(keep))
  else
    if not state[3] or stamp > tonumber(state[3]) then
      local reserved = stamp == now and now + RESERVE or stamp
      redis.call('HSET', state_key, 'w', whole(reserved))
    end
    if keep > tonumber(state[4] or '0') then redis.call('HSET', state_key, 'k', whole(keep)) end
  end
  return stamp
end
