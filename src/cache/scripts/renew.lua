-- Renews the right to load, for each key.
--
-- KEYS[...] leases: leases of the load
-- ARGV[1] token (string): of the load
-- ARGV[2] lease (number): how long the right lasts from now, in milliseconds
-- Reply number: leases that were not lost
local held = 0
for _, lease in ipairs(KEYS) do
  local holder = redis.call('GET', lease)
  if holder and string.sub(holder, 1, #ARGV[1]) == ARGV[1] then
    held = held + redis.call('PEXPIRE', lease, ARGV[2])
  end
end
return held
