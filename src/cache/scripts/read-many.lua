-- Reads entries of one bucket, without those deleted by a tag or from before the birth of the state.
--
-- KEYS[1] state: hash of the bucket
-- KEYS[...] entries: entries
-- Reply [number, ...(Buffer | null)[]]: server clock in microseconds, and an entry per key
--
-- Work: one MGET, and one HMGET per entry with tags. Needs Redis 5.
--- @include "_clock.lua"
--- @include "_version.lua"
--- @include "_usable.lua"
--- @include "_read-many.lua"

local now = server_now()
return { now, unpack(read_entries(KEYS[1], now, { unpack(KEYS, 2) })) }
