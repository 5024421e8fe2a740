-- Writes what was loaded, unless it has been overtaken: by a write or delete of the key, which took the
-- lease away, or by an invalidation of one of its tags; or it took so long that those are forgotten.
--
-- KEYS[1] state: hash of the bucket
-- KEYS[2] entry: entry
-- KEYS[3] lease: lease of the load
-- ARGV[1] token (string): of the load
-- ARGV[2] stamp (number): of the load
-- ARGV[3] ttl (number): time to live in milliseconds
-- ARGV[4] keep (number): how long it is kept after that, in milliseconds
-- ARGV[5] body (Buffer): the entry without its head
-- ARGV[6] wake (string): channel on which waiters are woken
-- ARGV[7] tell (string): channel on which changes are told, or empty
-- Reply [number, number]: server clock in microseconds; 0 when it was overtaken
--
-- Work: constant. Needs Redis 5.
--- @include "_clock.lua"
--- @include "_state.lua"
--- @include "_entry.lua"

local now = server_now()
local holder = redis.call('GET', KEYS[3])
if not holder or string.sub(holder, 1, #ARGV[1]) ~= ARGV[1] then return { now, 0 } end
redis.call('DEL', KEYS[3])
if string.sub(holder, -1) == '+' then redis.call('PUBLISH', ARGV[6], KEYS[2]) end
if tonumber(ARGV[2]) < now - LOAD_US then return { now, 0 } end
local ttl, keep = tonumber(ARGV[3]), tonumber(ARGV[4])
local life = ttl + keep
local entry = entry_head(tonumber(ARGV[2]), now + ttl * 1000, now + life * 1000) .. ARGV[5]
if usable(KEYS[1], entry, now) ~= entry then return { now, 0 } end
next_stamp(KEYS[1], now, life * 1000)
redis.call('SET', KEYS[2], entry, 'PX', life)
if ARGV[7] ~= '' then redis.call('PUBLISH', ARGV[7], KEYS[2]) end
return { now, 1 }
