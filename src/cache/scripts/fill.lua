-- Gives the right to load back, for each key, with what was loaded: writes it unless it is not to be kept, or
-- was overtaken: by a write or delete of the key, which took the lease away, or by an invalidation of one of its
-- tags; or it took so long that those are forgotten.
--
-- KEYS[1] state: hash of the bucket
-- KEYS[...] pairs: entry and lease, for each key
-- ARGV[1] token (string): of the load
-- ARGV[2] stamp (number): of the load
-- ARGV[3] wake (string): channel on which waiters are woken
-- ARGV[4] tell (string): channel on which changes are told, or empty
-- ARGV[...] contents (string | number | Buffer): for each key the time to live, 0 for what is not kept, and how
--   long it is kept after that, in milliseconds, and the entry without its head
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
--- @include "_give-back.lua"

local now = server_now()
local stamp = tonumber(ARGV[2])
local longest = 0

local function fill(key, lease, ttl, keep, body)
  local life = ttl + keep
  -- Fresh for some time even when it is not kept: tags that have expired shorten that.
  local entry = entry_head(stamp, now + math.max(ttl, 1) * 1000, now + life * 1000) .. body
  local is_current = stamp >= now - LOAD_US and usable(KEYS[1], entry, now) == entry
  local after = is_current and ttl == 0 and 'unkept' or 'free'
  if not give_back(lease, ARGV[1], after, ARGV[3], key) or not is_current then return 0 end
  if ttl > 0 then
    longest = math.max(longest, life * 1000)
    redis.call('SET', key, entry, 'PX', life)
    if ARGV[4] ~= '' then redis.call('PUBLISH', ARGV[4], key) end
  end
  return 1
end

local reply = {}
for i = 1, (#KEYS - 1) / 2 do
  local at = 3 * i + 2
  reply[i] = fill(KEYS[2 * i], KEYS[2 * i + 1], tonumber(ARGV[at]), tonumber(ARGV[at + 1]), ARGV[at + 2])
end
if longest > 0 then next_stamp(KEYS[1], now, longest) end
return reply
