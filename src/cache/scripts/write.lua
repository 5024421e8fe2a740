-- Writes an entry, and voids a load of it that is running.
--
-- KEYS[1] state: hash of the bucket
-- KEYS[2] entry: entry
-- KEYS[3] lease: lease of the load
-- ARGV[1] mode ('set' | 'add'): `add` leaves an entry that is fresh alone
-- ARGV[2] ttl (number): time to live in milliseconds
-- ARGV[3] keep (number): how long it is kept after that, in milliseconds
-- ARGV[4] body (Buffer): the entry without its head
-- ARGV[5] wake (string): channel on which waiters are woken
-- ARGV[6] tell (string): channel on which changes are told, or empty
-- Reply [number, number]: server clock and stamp in microseconds; stamp 0 when nothing was added
--
-- Work: constant. Needs Redis 5.
--- @include "_clock.lua"
--- @include "_state.lua"
--- @include "_entry.lua"

local now = server_now()
if ARGV[1] == 'add' then
  local raw = usable(KEYS[1], read_entry(KEYS[2]), now)
  if raw and is_fresh(raw, now) then return { now, 0 } end
end
local ttl, keep = tonumber(ARGV[2]), tonumber(ARGV[3])
local life = ttl + keep
local stamp = next_stamp(KEYS[1], now, life * 1000)
local head = entry_head(stamp, now + ttl * 1000, now + life * 1000)
redis.call('SET', KEYS[2], head .. ARGV[4], 'PX', life)
if redis.call('DEL', KEYS[3]) == 1 then redis.call('PUBLISH', ARGV[5], KEYS[2]) end
if ARGV[6] ~= '' then redis.call('PUBLISH', ARGV[6], KEYS[2]) end
return { now, stamp }
