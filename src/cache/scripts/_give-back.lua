-- Those who wait are woken at once, or look again in a quarter of a second.
local UNKEPT_MS = 1000

-- Ends the right to load, if the load still has it, and wakes those who wait. What holds after that: `free`,
-- the next one may load; `unkept`, those who wait are told that there is nothing to wait for, so that they
-- need not load one after another; or for how many milliseconds nobody may load. Whether it was still there.
local function give_back(lease, token, after, wake, name)
  local holder = redis.call('GET', lease)
  if not holder or string.sub(holder, 1, #token) ~= token then return false end
  local is_waited = string.sub(holder, -1) == '+'
  -- First, so that a server that is full, and refuses a first write that may take memory, takes the next one.
  redis.call('DEL', lease)
  if tonumber(after) then
    redis.call('SET', lease, '!', 'PX', after)
  elseif after == 'unkept' and is_waited then
    redis.call('SET', lease, '-', 'PX', UNKEPT_MS)
  end
  if is_waited then redis.call('PUBLISH', wake, name) end
  return true
end
