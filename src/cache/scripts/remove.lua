-- Deletes entries of one bucket, or makes them stale, and voids loads of them that are running.
--
-- KEYS[1] state: hash of the bucket
-- KEYS[...] pairs: entry and lease, for each key
-- ARGV[1] mode ('delete' | 'expire'): `expire` keeps what is left of an entry's life after its time to live
-- ARGV[2] wake (string): channel on which waiters are woken
-- ARGV[3] tell (string): channel on which changes are told, or empty
-- Reply number: entries that were there
--
-- Work: constant per key. Needs Redis 5.
--- @include "_clock.lua"
--- @include "_version.lua"
--- @include "_usable.lua"
--- @include "_read.lua"

local now = server_now()
local count = 0
for i = 2, #KEYS, 2 do
  local entry, lease = KEYS[i], KEYS[i + 1]
  -- First, so that a server that is full, and refuses a first write that may take memory, takes the next one.
  local was_loading = redis.call('DEL', lease) == 1
  if ARGV[1] == 'delete' then
    count = count + redis.call('UNLINK', entry)
  elseif is_fresh(read_entry(entry), now) then
    redis.call('SETRANGE', entry, 10, struct.pack('<d', now))
    count = count + 1
  end
  if was_loading then redis.call('PUBLISH', ARGV[2], entry) end
  if ARGV[3] ~= '' then redis.call('PUBLISH', ARGV[3], entry) end
end
return count
