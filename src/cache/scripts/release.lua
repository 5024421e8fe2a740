-- Gives the right to load back without a value, and wakes those who wait; or keeps everybody from
-- loading for a while.
--
-- KEYS[1] lease: lease of the load
-- ARGV[1] token (string): of the load
-- ARGV[2] backoff (number): how long nobody may load, in milliseconds; 0 for not at all
-- ARGV[3] wake (string): channel on which waiters are woken
-- ARGV[4] name (string): what to wake
-- Reply number: 0 when it was lost before
local holder = redis.call('GET', KEYS[1])
if not holder or string.sub(holder, 1, #ARGV[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], '!', 'PX', ARGV[2])
end
if string.sub(holder, -1) == '+' then redis.call('PUBLISH', ARGV[3], ARGV[4]) end
return 1
