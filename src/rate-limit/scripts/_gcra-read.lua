-- Generic cell rate algorithm (ITU-T I.371): a bucket of `param` units that refills with `limit` units
-- per window. One number is stored, the time at which the bucket is full again, as decimal nanoseconds,
-- which the server keeps in 8 bytes. A double cannot hold it, so it is split into microseconds and a
-- rest, and everything is computed relative to `now`.
--
-- Gives, in nanoseconds: interval per unit, capacity of the bucket, debt until it is full, and slack.
-- Rounding up what is stored loses less than 1 ns per call; the slack lets a burst of all units through
-- all the same and is too small for one more.
local interval = window * 1000 / limit
local capacity = param * interval
local slack = param < interval / 2 and param or interval / 2
local debt = 0
local raw = redis.call('GET', key)
if raw then
  debt = (tonumber(raw:sub(1, -4)) - now) * 1000 + tonumber(raw:sub(-3))
  if debt < 0 then debt = 0 end
  -- Reservations reach one window ahead. More than that is a clock that went back: nobody is locked out
  -- for longer.
  local most = capacity + window * 1000
  if debt > most then
    debt = most
    if writes then
      redis.call('SET', key, string.format('%.0f000', now + math.ceil(debt / 1000)), 'PX', math.ceil(debt / 1000000) + 1)
    end
  end
end
