-- Renews the right to load.
--
-- KEYS[1] lease: lease of the load
-- ARGV[1] token (string): of the load
-- ARGV[2] lease (number): how long the right lasts from now, in milliseconds
-- Reply number: 0 when it was lost
local holder = redis.call('GET', KEYS[1])
if not holder or string.sub(holder, 1, #ARGV[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
