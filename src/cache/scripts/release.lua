-- Gives the right to load back without a value, and wakes those who wait.
--
-- KEYS[1] lease: lease of the load
-- ARGV[1] token (string): of the load
-- ARGV[2] after ('free' | 'unkept' | number): `free` lets the next one load; `unkept` tells those who wait
--   that there is nothing to wait for, so that they need not load one after another; or how long nobody
--   may load, in milliseconds
-- ARGV[3] wake (string): channel on which waiters are woken
-- ARGV[4] name (string): what to wake
-- Reply number: 0 when it was lost before

-- They are woken at once, or look again in a quarter of a second.
local UNKEPT_MS = 1000

local holder = redis.call('GET', KEYS[1])
if not holder or string.sub(holder, 1, #ARGV[1]) ~= ARGV[1] then return 0 end
local is_waited = string.sub(holder, -1) == '+'
if tonumber(ARGV[2]) then
  redis.call('SET', KEYS[1], '!', 'PX', ARGV[2])
elseif ARGV[2] == 'unkept' and is_waited then
  redis.call('SET', KEYS[1], '-', 'PX', UNKEPT_MS)
else
  redis.call('DEL', KEYS[1])
end
if is_waited then redis.call('PUBLISH', ARGV[3], ARGV[4]) end
return 1
