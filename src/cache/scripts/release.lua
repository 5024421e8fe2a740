-- Gives the right to load back without a value, for each key, and wakes those who wait.
--
-- KEYS[...] leases: leases of the load
-- ARGV[1] token (string): of the load
-- ARGV[2] after ('free' | 'unkept' | number): `free` lets the next one load; `unkept` tells those who wait
--   that there is nothing to wait for, so that they need not load one after another; or how long nobody
--   may load, in milliseconds
-- ARGV[3] wake (string): channel on which waiters are woken
-- ARGV[...] names (string): what to wake, for each lease
-- Reply number: leases that were not lost before

-- They are woken at once, or look again in a quarter of a second.
local UNKEPT_MS = 1000

local held = 0
for i, lease in ipairs(KEYS) do
  local holder = redis.call('GET', lease)
  if holder and string.sub(holder, 1, #ARGV[1]) == ARGV[1] then
    held = held + 1
    local is_waited = string.sub(holder, -1) == '+'
    if tonumber(ARGV[2]) then
      redis.call('SET', lease, '!', 'PX', ARGV[2])
    elseif ARGV[2] == 'unkept' and is_waited then
      redis.call('SET', lease, '-', 'PX', UNKEPT_MS)
    else
      redis.call('DEL', lease)
    end
    if is_waited then redis.call('PUBLISH', ARGV[3], ARGV[i + 3]) end
  end
end
return held
