-- Voids the entries with some tags, or all entries of a bucket, without touching them: they are compared
-- with the version written here when they are read. A load that began before does not bring them back.
--
-- KEYS[1] state: hash of the bucket
-- KEYS[...] signals: one per tag, or one for everything; written so that tracking tells of the change
-- ARGV[1] mode ('delete' | 'expire'): `expire` makes entries stale
-- ARGV[2] tell (string): channel on which changes are told, or empty
-- ARGV[...] fields (string): field of the state per signal: `t:<tag>`, or `*`
-- Reply number: version in microseconds
--
-- Work: constant per tag, whatever the number of entries. Needs Redis 6.2.
--- @include "_clock.lua"
--- @include "_state.lua"

-- A changed signal is news for as long as tracking takes to tell; its end is told as well, which does no harm.
local SIGNAL_MS = 3600000

-- Forgets tags whose last invalidation is older than any entry or load can be. Looks at more fields than a
-- call adds, so that the state does not grow for ever.
local function forget_old(now)
  local keep = math.max(tonumber(redis.call('HGET', KEYS[1], 'k') or '0'), LOAD_US)
  local some = redis.call('HRANDFIELD', KEYS[1], math.max(8, 2 * #KEYS), 'WITHVALUES')
  for i = 1, #some, 2 do
    if string.sub(some[i], 1, 2) == 't:' then
      local deleted, expired = read_version(some[i + 1])
      if math.max(deleted, expired) < now - keep then redis.call('HDEL', KEYS[1], some[i]) end
    end
  end
end

local now = server_now()
local version = next_version(KEYS[1], now)
if redis.call('HEXISTS', KEYS[1], 'e') == 0 then redis.call('HSET', KEYS[1], 'e', whole(version)) end
redis.call('HSET', KEYS[1], 'v', whole(version))
for i = 2, #KEYS do
  local field = ARGV[i + 1]
  local text = whole(version)
  if ARGV[1] == 'expire' then
    local deleted = read_version(redis.call('HGET', KEYS[1], field))
    text = whole(deleted) .. ':' .. text
  end
  redis.call('HSET', KEYS[1], field, text)
  redis.call('SET', KEYS[i], text, 'PX', SIGNAL_MS)
  if ARGV[2] ~= '' then redis.call('PUBLISH', ARGV[2], KEYS[i]) end
end
forget_old(now)
return version
