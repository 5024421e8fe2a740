-- Judges every policy as of `now`. Needs: ahead (microseconds a reservation may lie ahead, 0 for none), now,
-- writes (whether this call may write), at (index of the first policy in ARGV), step (arguments per policy),
-- unit (the cost to judge when the policies carry none). Gives: reply, and pending: per policy with room
-- its place in the reply, key, value, life, cost, and time until unused once the cost is taken.
--
-- A policy in ARGV: kind, cost, limit, window, param; with a kind of two letters the rules follow, see
-- consume.lua. The value of a policy is computed only when it has room, so a refusal is cheap.
--
-- This is the path of every request: tables are made at full size, functions are not made at all, and
-- `x + -x % 1` rounds up.
local argc = #ARGV
local reply = { 1, now, 0, 0, 0 }
local pending = false
local k, place = 0, 3
while at <= argc do
  k = k + 1
  local kind, key = ARGV[at], KEYS[k]
  local cost = unit or tonumber(ARGV[at + 1])
  local limit, window, param = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local left, reset, wait, after_reset, value, life = 0, 0, 0, 0, false, 0
  local shadow, block = false, false
  at = at + step
  if #kind == 2 then
    kind = kind:sub(1, 1)
--- @include "_rules.lua"
  end
  if block and block.ends > now then
    left, wait, reset = -1, block.ends - now, block.ends - now
  elseif kind == 's' then
--- @include "_sliding-read.lua"
    local excess = total + cost - limit
    if excess > 0 then
      for age = slots - shift, 1, -1 do
        excess = excess - struct.unpack(form, raw, 17 + (age - 1) * width)
        if excess <= 0 then
          wait = (index - shift - age + 1 + slots) * span - now
          break
        end
      end
    end
    if total > 0 then
      local age = 1
      -- Only what was given back leaves the newest counter empty.
      while newest == 0 do
        age = age + 1
        newest = struct.unpack(form, raw, 17 + (age - 1) * width)
      end
      reset = (index - shift - age + 1 + slots) * span - now
      if age > 1 then newest = 0 end
    end
    left = limit > total and limit - total or 0
    after_reset = (index + slots) * span - now
    if writes and wait == 0 then
      local first = shift == 0 and newest + cost or cost
      total = total + cost
--- @include "_sliding-write.lua"
    end
  elseif kind == 'g' then
--- @include "_gcra-read.lua"
    local after = debt + cost * interval
    local over = after - capacity - slack
    if over > 0 then wait = (over + -over % 1000) / 1000 end
    local room = (capacity + slack - debt) / interval
    if room > 0 then left = room - room % 1 end
    reset = (debt + -debt % 1000) / 1000
    after_reset = (after + -after % 1000) / 1000
    if writes and wait <= ahead then
--- @include "_gcra-write.lua"
    end
  elseif kind == 'f' then
--- @include "_fixed-read.lua"
    after_reset = ends - now
    if used + cost > limit then wait = after_reset end
    if used > 0 then reset = after_reset end
    left = limit > used and limit - used or 0
    if writes and wait == 0 then
      value = struct.pack('>dI4', ends, used + cost)
      life = (after_reset + -after_reset % 1000) / 1000 + 1
    end
  else -- l
--- @include "_log-read.lua"
    local blocking = live + cost - limit
    if blocking > 0 then
      wait = tonumber(redis.call('LINDEX', key, entries - live + blocking - 1)) - horizon
    end
    left = limit > live and limit - live or 0
    if live > 0 then reset = tonumber(redis.call('LINDEX', key, -1)) - horizon end
    after_reset = window
    if wait == 0 then value = entries - live end
  end
  reply[place], reply[place + 1], reply[place + 2] = left, reset, wait
  if wait > 0 and not value then
    if not shadow then reply[1] = 0 end
    if block and writes and left >= 0 and block.lengths > 0 then
--- @include "_block-write.lua"
    end
  elseif not pending then
    pending = { place, key, value, life, cost, after_reset }
  else
    local m = #pending
    pending[m + 1], pending[m + 2], pending[m + 3] = place, key, value
    pending[m + 4], pending[m + 5], pending[m + 6] = life, cost, after_reset
  end
  place = place + 3
end
