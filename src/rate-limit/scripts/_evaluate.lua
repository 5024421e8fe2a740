-- Judges every policy as of `now`. Needs: mode, max_wait, now, writes (whether this call may write),
-- at (index of the first policy in ARGV), step (arguments per policy), unit (the cost to judge
-- when the policies carry none). Gives: reply and pending, the writes to make if all have room.
--
-- A policy in ARGV: kind, cost, limit, window, param; with a kind of two letters the rules follow, see
-- consume.lua. The value of a policy is computed only when it has room, so a refusal is cheap.
local reply = { 1, now }
local pending = {}
local k, n = 0, 0
while at <= #ARGV do
  k = k + 1
  n = n + 1
  local kind = ARGV[at]
  local cost = unit or tonumber(ARGV[at + 1])
  local limit, window, param = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local key = KEYS[k]
  local left, reset, wait, after_reset, value, life = 0, 0, 0, 0, false, 0
  at = at + step
  local shadow, block = false, false
  if #kind == 2 then
--- @include "_rules.lua"
  end
  if block and block.ends > now then
    left, wait, reset = -1, block.ends - now, block.ends - now
  else
    local letter = kind:byte(1)
    if letter == 115 then -- s
--- @include "_sliding-read.lua"
      local excess = total + cost - limit
      if excess > 0 then
        for age = slots - shift, 1, -1 do
          excess = excess - counter(age)
          if excess <= 0 then
            wait = (index - shift - age + 1 + slots) * span - now
            break
          end
        end
      end
      if total > 0 then
        local newest = 1
        while counter(newest) == 0 do newest = newest + 1 end
        reset = (index - shift - newest + 1 + slots) * span - now
      end
      left = math.max(0, limit - total)
      after_reset = (index + slots) * span - now
      if writes and wait == 0 then
        local first = cost
        if shift == 0 then first = counter(1) + cost end
        total = total + cost
--- @include "_sliding-write.lua"
      end
    elseif letter == 103 then -- g
--- @include "_gcra-read.lua"
      local after = debt + cost * interval
      wait = math.max(0, math.ceil((after - capacity - slack) / 1000))
      left = math.max(0, math.floor((capacity + slack - debt) / interval))
      reset = math.ceil(debt / 1000)
      after_reset = math.ceil(after / 1000)
      if writes and wait <= max_wait then
--- @include "_gcra-write.lua"
      end
    elseif letter == 102 then -- f
--- @include "_fixed-read.lua"
      if used + cost > limit then wait = ends - now end
      left = math.max(0, limit - used)
      after_reset = ends - now
      if used > 0 then reset = after_reset end
      if writes and wait == 0 then
        value = struct.pack('>dI4', ends, used + cost)
        life = math.ceil(after_reset / 1000) + 1
      end
    else -- l
--- @include "_log-read.lua"
      local blocking = live + cost - limit
      if blocking > 0 then
        wait = tonumber(redis.call('LINDEX', key, entries - live + blocking - 1)) - horizon
      end
      left = math.max(0, limit - live)
      if live > 0 then reset = tonumber(redis.call('LINDEX', key, -1)) - horizon end
      after_reset = window
      if wait == 0 then value = entries - live end
    end
  end
  reply[3 * n] = left
  reply[3 * n + 1] = reset
  reply[3 * n + 2] = wait
  if wait > 0 and not value then
    if not shadow then reply[1] = 0 end
    if block and writes and left >= 0 and block.lengths > 0 then
--- @include "_block-write.lua"
    end
  elseif writes then
    pending[#pending + 1] = { n, key, value, life, cost, after_reset }
  end
end
