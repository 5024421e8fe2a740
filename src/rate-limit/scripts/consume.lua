-- Takes `cost` from every policy of one identity, or from none: all policies are read and judged
-- first, then all are written or nothing is. One exception writes on a refusal: a counter dated in
-- the future (the clock went back) is dated to now, otherwise it would refuse until the old time is
-- reached again. Nothing is added to it.
--
-- KEYS[...] counters: one key per policy, all with the same hash tag
-- ARGV[1] commit (0 | 1): 0 looks and writes nothing
-- ARGV[2] cost (number): whole number from 1 to the smallest limit
-- ARGV[...] policies (number): per key, in order: limit, window in microseconds (a multiple of 20)
-- Reply number[]: allowed (0 or 1), then per key: remaining, ms until unused, ms until cost fits (0 = now)
--
-- Work: one GET and at most one SET per key. Needs Redis 5 (the clock is read before a write).
-- Algorithm: sub-window counters as in https://www.figma.com/blog/an-alternative-approach-to-rate-limiting/
-- (fixed sub-windows, summed), with the oldest one counted whole so that the limit is never exceeded.
--- @include "_now.lua"
--- @include "_sliding.lua"

local commit = ARGV[1] == '1'
local cost = tonumber(ARGV[2])
local now = server_now()
local allowed = 1
local rings = {}

for i, key in ipairs(KEYS) do
  local ring = sliding_read(key, tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2]), now)
  ring.wait = sliding_wait(ring, cost)
  if ring.wait > 0 then allowed = 0 end
  rings[i] = ring
end

local reply = { allowed }
for i, ring in ipairs(rings) do
  if commit and allowed == 1 then
    sliding_write(ring, cost)
  elseif commit and ring.ahead then
    sliding_write(ring, 0)
  end
  reply[3 * i - 1] = math.max(0, ring.limit - ring.total)
  reply[3 * i] = math.ceil(sliding_reset(ring) / 1000)
  reply[3 * i + 1] = math.ceil(ring.wait / 1000)
end
return reply
