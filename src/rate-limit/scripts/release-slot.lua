-- Gives a slot of a concurrency limit back, and wakes those who wait for one if all were taken.
--
-- KEYS[1] slots: sorted set of tokens by the end of their lease
-- ARGV[1] token (string): name of the slot
-- ARGV[2] limit (number): slots there are
-- ARGV[3] channel (string): wake-up channel
-- ARGV[4] name (string): what to wake
-- Reply number: 1 when the slot was held, 0 when its lease had ended and somebody has tidied up
--
-- Work: O(log n). Repeating it is harmless.
local taken = redis.call('ZCARD', KEYS[1])
local held = redis.call('ZREM', KEYS[1], ARGV[1])
if held == 1 and taken >= tonumber(ARGV[2]) then
  -- A user that may not publish has released all the same; others see it when the first lease ends.
  redis.pcall('PUBLISH', ARGV[3], ARGV[4])
end
return held
