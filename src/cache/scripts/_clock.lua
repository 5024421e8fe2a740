-- Server clock in whole microseconds since the Unix epoch; below 2^53, so exact in a double.
-- Kept alone in a file so that a test can put another clock in its place.
local function server_now()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end
