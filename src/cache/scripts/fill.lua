-- Writes what was loaded, each unless it has been overtaken: by a write or delete of the key, which took the
-- lease away, or by an invalidation of one of its tags; or it took so long that those are forgotten.
--
-- KEYS[1] state: hash of the bucket
-- KEYS[...] pairs: entry and lease, for each key
-- ARGV[1] token (string): of the load
-- ARGV[2] stamp (number): of the load
-- ARGV[3] wake (string): channel on which waiters are woken
-- ARGV[4] tell (string): channel on which changes are told, or empty
-- ARGV[...] contents (string | number | Buffer): for each key the time to live, and how long it is kept after that, in
--   milliseconds, and the entry without its head
-- Reply (0 | 1)[]: for each key 0 when it was overtaken
--
-- Work: constant per key. Needs Redis 5.
--- @include "_clock.lua"
--- @include "_state.lua"
--- @include "_load-life.lua"
--- @include "_stamp.lua"
--- @include "_head.lua"
--- @include "_version.lua"
--- @include "_usable.lua"

local now = server_now()
local stamp = tonumber(ARGV[2])
local longest = 0

local function fill(key, lease, ttl, keep, body)
  local holder = redis.call('GET', lease)
  if not holder or string.sub(holder, 1, #ARGV[1]) ~= ARGV[1] then return 0 end
  redis.call('DEL', lease)
  if string.sub(holder, -1) == '+' then redis.call('PUBLISH', ARGV[3], key) end
  if stamp < now - LOAD_US then return 0 end
  local life = ttl + keep
  local entry = entry_head(stamp, now + ttl * 1000, now + life * 1000) .. body
  if usable(KEYS[1], entry, now) ~= entry then return 0 end
  longest = math.max(longest, life * 1000)
  redis.call('SET', key, entry, 'PX', life)
  if ARGV[4] ~= '' then redis.call('PUBLISH', ARGV[4], key) end
  return 1
end

local reply = {}
for i = 1, (#KEYS - 1) / 2 do
  local at = 3 * i + 2
  reply[i] = fill(KEYS[2 * i], KEYS[2 * i + 1], tonumber(ARGV[at]), tonumber(ARGV[at + 1]), ARGV[at + 2])
end
if longest > 0 then next_stamp(KEYS[1], now, longest) end
return reply
