-- Takes the right to load, or says why not. Role 1: it is given. 2: another one loads, 3: nobody may for now,
-- and how long that lasts in ms. 4: what was waited for is not kept.
local function take(lease, token, lease_ms, has_waited, is_there)
  local holder = redis.call('GET', lease) or ''
  local kind = string.sub(holder, 1, 1)
  -- Nobody loads while a stale value stands in; one that is gone cannot.
  if kind == '!' and is_there then return 3, math.max(1, redis.call('PTTL', lease)) end
  if kind == '-' and has_waited then return 4, 0 end
  -- The same call may come again because its first answer was lost.
  if kind == '' or kind == '!' or kind == '-' then
    redis.call('SET', lease, token, 'PX', lease_ms)
  elseif string.sub(holder, 1, #token) ~= token then
    -- Whoever fills the entry publishes only if somebody waits.
    if string.sub(holder, -1) ~= '+' then redis.call('APPEND', lease, '+') end
    return 2, math.max(1, redis.call('PTTL', lease))
  end
  return 1, 0
end
