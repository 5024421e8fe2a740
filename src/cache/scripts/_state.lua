-- State of one bucket, a hash:
--   e       birth: entries stamped before it were written under a state that is lost, and miss
--   r       run id of the server the birth belongs to
--   v       version of the last invalidation
--   w       no stamp above it was ever given out, so a clock that goes back cannot hide one
--   k       longest life of an entry so far, in microseconds: older invalidations are forgotten, but none
--           that a running load may still be compared with
--   *       version below which everything is deleted, or "deleted:expired"
--   t:<tag> the same for the entries with a tag
-- Stamps and versions are microseconds of the server's clock, made to only ever rise.
local function whole(number)
  return string.format('%.0f', number)
end

-- Reserves stamps ahead, so that not every write has to record its own.
local RESERVE = 100000

-- Longest life of a load: what it brings after that is refused, so that invalidations can be forgotten.
local LOAD_US = 3600000000

-- A stamp for an entry written or a load begun now.
local function next_stamp(state_key, now, keep)
  local state = redis.call('HMGET', state_key, 'e', 'v', 'w', 'k')
  local stamp = now
  if state[2] and now <= tonumber(state[2]) then stamp = tonumber(state[2]) + 1 end
  -- After a clock that went back: what is older than the birth is void.
  if state[1] and stamp < tonumber(state[1]) then stamp = tonumber(state[1]) end
  if not state[1] then
    redis.call('HSET', state_key, 'e', whole(stamp), 'w', whole(stamp + RESERVE), 'k', whole(keep))
  else
    if not state[3] or stamp > tonumber(state[3]) then
      local reserved = stamp == now and now + RESERVE or stamp
      redis.call('HSET', state_key, 'w', whole(reserved))
    end
    if keep > tonumber(state[4] or '0') then redis.call('HSET', state_key, 'k', whole(keep)) end
  end
  return stamp
end

-- A version above every stamp and version given out before.
local function next_version(state_key, now)
  local state = redis.call('HMGET', state_key, 'v', 'w')
  return math.max(now, tonumber(state[1] or '0'), tonumber(state[2] or '0')) + 1
end

-- Splits "deleted:expired"; a plain number is a deletion.
local function read_version(text)
  if not text then return 0, 0 end
  local plain = tonumber(text)
  if plain then return plain, 0 end
  local deleted, expired = string.match(text, '^(%d+):(%d+)$')
  return tonumber(deleted), tonumber(expired)
end
