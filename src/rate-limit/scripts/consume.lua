-- Takes the cost of every policy, or of none: all policies are read and judged first, then all are
-- written or nothing is. Two exceptions write on a refusal: a counter dated in the future (the clock
-- went back) is dated to now, otherwise it would refuse until the old time is reached again; and
-- a policy that blocks counts the refusal.
--
-- KEYS[...] counters: per policy, in order, its counter, followed by its block if it has one
-- ARGV[1] ahead (number): -1 = look and write nothing, 0 = take what fits now, else take what fits within so many microseconds
-- ARGV[...] policies (string | number): per policy: kind, cost, limit, window in microseconds, param. Kinds and their param:
--   s sliding (sub-windows; the window is a multiple of them), g gcra (burst), f fixed (1 = aligned), l log (0).
--   A second letter says that rules follow: shadow (0 | 1), refusals before a block, microseconds until
--   a block is forgotten, number of block lengths, lengths in microseconds
-- Reply number[]: allowed (0 or 1), server time in microseconds, then per policy: remaining (-1 = blocked), microseconds until unused, microseconds until the cost fits (0 = now)
--
-- Work: one GET and at most one SET per policy; of a log 3 to 13 LINDEX and one entry per unit of cost.
-- Needs Redis 5 (the clock is read before a write).
--- @include "_now.lua"
local ahead = tonumber(ARGV[1])
local writes = ahead >= 0
if not writes then ahead = 0 end
local now = server_now()
local at, step, unit = 2, 5, nil
--- @include "_evaluate.lua"

if writes and pending and reply[1] == 1 then
  for m = 1, #pending, 6 do
    local place, key, value = pending[m], pending[m + 1], pending[m + 2]
    local life, cost, after_reset = pending[m + 3], pending[m + 4], pending[m + 5]
    if life > 0 then
      redis.call('SET', key, value, 'PX', life)
    else
      if value > 0 then redis.call('LTRIM', key, value, -1) end
      local entry = string.format('%.0f', now)
      for _ = 1, cost do redis.call('RPUSH', key, entry) end
      redis.call('PEXPIRE', key, math.ceil(after_reset / 1000) + 1)
    end
    local left = reply[place] - cost
    reply[place] = left > 0 and left or 0
    reply[place + 1] = after_reset
  end
end
return reply
