--- @include "_reserve.lua"
--- @include "_run-id.lua"

-- A stamp for an entry written or a load begun now. Unlike any other, so that it tells entries apart: what is
-- ahead of the clock is counted up.
local function next_stamp(state_key, now, keep)
  local state = redis.call('HMGET', state_key, 'e', 'v', 'w', 'k')
  if not state[1] then
    local birth = now + BIRTH_AHEAD
    redis.call('HSET', state_key, 'r', run_id(), 'e', whole(birth), 'w', whole(birth), 'k', whole(keep))
    return birth
  end
  local last = tonumber(state[3] or '0')
  -- After a clock that went back: what is older than the birth is void.
  local lowest = math.max(tonumber(state[2] or '0') + 1, tonumber(state[1]))
  local stamp = now
  if now < lowest then stamp = math.max(lowest, last + 1) end
  if stamp > last then
    redis.call('HSET', state_key, 'w', whole(stamp == now and now + RESERVE or stamp))
  end
  if keep > tonumber(state[4] or '0') then redis.call('HSET', state_key, 'k', whole(keep)) end
  return stamp
end
