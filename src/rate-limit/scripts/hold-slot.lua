-- Takes a slot of a concurrency limit, or renews the lease of one that is held. Slots whose lease has
-- ended are free: a process that crashed gives its slots back that way. A refusal writes nothing.
--
-- KEYS[1] slots: sorted set of tokens by the end of their lease
-- ARGV[1] token (string): random name of the slot, a colon, and its lease in microseconds
-- ARGV[2] limit (number): slots there are
-- ARGV[3] lease (number): length of the lease in microseconds
-- Reply number[]: granted (0 or 1), slots taken, microseconds until the first lease ends
--
-- Work: O(log n), and n for the leases that have ended and, with a refusal, for longer ones. Repeating it is harmless.
--- @include "_now.lua"
local token, limit, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local now = server_now()
local ends = string.format('%.0f', now + lease)
local taken = redis.call('ZCOUNT', KEYS[1], string.format('(%.0f', now), '+inf')
local own = redis.call('ZSCORE', KEYS[1], token)
if own and tonumber(own) > now then taken = taken - 1 end
if taken >= limit then
  -- A lease cannot end later than its length from now, unless the clock went back: then it begins anew.
  local ahead = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ends, '+inf', 'WITHSCORES')
  for i = 1, #ahead, 2 do
    local latest = now + (tonumber(ahead[i]:match(':(%d+)$')) or lease)
    if tonumber(ahead[i + 1]) > latest then
      redis.call('ZADD', KEYS[1], string.format('%.0f', latest), ahead[i])
    end
  end
  local first = redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  return { 0, taken, tonumber(first[2]) - now }
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
redis.call('ZADD', KEYS[1], ends, token)
local life = math.ceil(lease / 1000) + 1000
if redis.call('PTTL', KEYS[1]) < life then redis.call('PEXPIRE', KEYS[1], life) end
return { 1, taken + 1, lease }
