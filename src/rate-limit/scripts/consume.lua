-- Takes the cost of every policy, or of none: all policies are read and judged first, then all are
-- written or nothing is. Two exceptions write on a refusal: a counter dated in the future (the clock
-- went back) is dated to now, otherwise it would refuse until the old time is reached again; and
-- a policy that blocks counts the refusal.
--
-- KEYS[...] counters: per policy, in order, its counter, followed by its block if it has one
-- ARGV[1] mode (string): 'consume', 'peek' (writes nothing) or 'reserve' (takes what fits within maxWait)
-- ARGV[2] maxWait (number): microseconds a reservation may lie ahead; 0 in the other modes
-- ARGV[...] policies (string | number): per policy: kind, cost, limit, window in microseconds, param. Kinds and their param:
--   s sliding (sub-windows; the window is a multiple of them), g gcra (burst), f fixed (1 = aligned), l log (0).
--   A second letter says that rules follow: shadow (0 | 1), refusals before a block, microseconds until
--   a block is forgotten, number of block lengths, lengths in microseconds
-- Reply number[]: allowed (0 or 1), server time in microseconds, then per policy: remaining (-1 = blocked), microseconds until unused, microseconds until the cost fits (0 = now)
--
-- Work: one GET and at most one SET per policy; of a log 3 to 13 LINDEX and one entry per unit of cost.
-- Needs Redis 5 (the clock is read before a write).
--- @include "_now.lua"
local mode = ARGV[1]
local max_wait = tonumber(ARGV[2])
local now = server_now()
local writes = mode ~= 'peek'
local at, step, unit = 3, 5, nil
--- @include "_evaluate.lua"

if writes and reply[1] == 1 then
  for _, write in ipairs(pending) do
    local key, value, cost, place = write[2], write[3], write[5], 3 * write[1]
    if write[4] > 0 then
      redis.call('SET', key, value, 'PX', write[4])
    else
      if value > 0 then redis.call('LTRIM', key, value, -1) end
      local entry = string.format('%.0f', now)
      for _ = 1, cost do redis.call('RPUSH', key, entry) end
      redis.call('PEXPIRE', key, math.ceil(write[6] / 1000) + 1)
    end
    reply[place] = math.max(0, reply[place] - cost)
    reply[place + 1] = write[6]
  end
end
return reply
