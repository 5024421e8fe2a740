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
--- @include "_load-life.lua"
--- @include "_version.lua"
--- @include "_next-version.lua"
--- @include "_run-id.lua"
--- @include "_although-full.lua"

-- A changed signal is news for as long as tracking takes to tell; its end is told as well, which does no harm.
local SIGNAL_MS = 3600000

-- Forgets tags whose last invalidation is older than any entry or load can be. Looks at more fields than a
-- call adds, so that the state does not grow for ever.
local function forget_old(now, longest)
  local keep = math.max(tonumber(longest or '0'), LOAD_US)
  local some = redis.call('HRANDFIELD', KEYS[1], math.max(8, 2 * #KEYS), 'WITHVALUES')
  for i = 1, #some, 2 do
    if string.sub(some[i], 1, 2) == 't:' then
      local deleted, expired = read_version(some[i + 1])
      if math.max(deleted, expired) < now - keep then redis.call('HDEL', KEYS[1], some[i]) end
    end
  end
end

local now = server_now()
local before = redis.call('HMGET', KEYS[1], 'v', 'w', 'e', 'k', unpack(ARGV, 3))
local version = whole(next_version(before[1], before[2], now))
write_although_full(KEYS[1])
local changes = { 'v', version }
if not before[3] then
  changes = { 'v', version, 'e', version, 'r', run_id() }
end
for i = 2, #KEYS do
  local text = version
  if ARGV[1] == 'expire' then
    local deleted = read_version(before[i + 3])
    text = whole(deleted) .. ':' .. version
  end
  changes[#changes + 1] = ARGV[i + 1]
  changes[#changes + 1] = text
  redis.call('SET', KEYS[i], text, 'PX', SIGNAL_MS)
  if ARGV[2] ~= '' then redis.call('PUBLISH', ARGV[2], KEYS[i]) end
end
redis.call('HSET', KEYS[1], unpack(changes))
forget_old(now, before[4])
return tonumber(version)
