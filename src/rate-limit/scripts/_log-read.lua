-- Exact sliding window: a list of the times of the admitted units, oldest first, at most `limit` long.
-- Gives: entries in the list, live (those inside the window), horizon (what is not later is outside).
local horizon = now - window
local entries = redis.call('LLEN', key)
local live = entries
if entries > 0 then
  local last = tonumber(redis.call('LINDEX', key, -1))
  if last > now and writes then
    -- The clock went back: what lies in the future counts as if it had just happened.
    local future = 0
    while last and last > now do
      future = future + 1
      redis.call('RPOP', key)
      last = tonumber(redis.call('LINDEX', key, -1) or nil)
    end
    for _ = 1, future do redis.call('RPUSH', key, string.format('%.0f', now)) end
    redis.call('PEXPIRE', key, math.ceil(window / 1000) + 1)
  end
  if tonumber(redis.call('LINDEX', key, 0)) <= horizon then
    -- The first entry inside the window, by halving.
    local low, high = 1, entries
    while low < high do
      local middle = math.floor((low + high) / 2)
      if tonumber(redis.call('LINDEX', key, middle)) <= horizon then low = middle + 1 else high = middle end
    end
    live = entries - low
  end
end
