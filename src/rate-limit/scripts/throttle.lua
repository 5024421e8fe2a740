-- Counts a hit as @nestjs/throttler does: in a window that begins with its first hit; the hit beyond the limit
-- begins a block. What is refused writes nothing, but for the beginning of the block.
--
-- KEYS[1] counter: end of the window in microseconds and end of the block (0 = none) as big-endian doubles, with the hits between them
-- ARGV[1] ttl (number): length of the window in microseconds
-- ARGV[2] limit (number): hits a window takes
-- ARGV[3] block (number): length of the block in microseconds; 0 = none, refused until the window ends
-- Reply number[]: hits, microseconds until the window ends, refused (0 or 1), microseconds until that ends
--
-- Work: one GET and at most one SET.
--- @include "_now.lua"
local ttl, limit, block = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = server_now()
local ends, hits, blocked = 0, 0, 0
local raw = redis.call('GET', KEYS[1])
if raw then ends, hits, blocked = struct.unpack('>dI4d', raw) end
-- Further ahead than this only when the clock went back, or the settings have changed.
local late = ends > now + ttl or blocked > now + block
ends, blocked = math.min(ends, now + ttl), math.min(blocked, now + block)

local function store()
  local life = math.ceil((math.max(ends, blocked) - now) / 1000) + 1
  redis.call('SET', KEYS[1], struct.pack('>dI4d', ends, hits, blocked), 'PX', life)
end

if blocked > now then
  if late then store() end
  return { hits + 1, math.max(0, ends - now), 1, blocked - now }
end
if ends <= now or blocked > 0 then ends, hits, blocked = now + ttl, 0, 0 end
if hits < limit then
  hits = hits + 1
  store()
  return { hits, ends - now, 0, 0 }
end
if block > 0 then
  blocked = now + block
  store()
  return { hits + 1, ends - now, 1, block }
end
if late then store() end
return { hits + 1, ends - now, 1, ends - now }
