-- Sliding window as a ring of counters. The window is cut into 20 sub-windows aligned to the epoch.
-- At any instant it overlaps 21 of them; the oldest only in part, and that one is counted whole, so
-- the sum is never less than the true number of requests in the trailing window.
--
-- Value: the index of the newest sub-window as a big-endian double (a 32-bit build of the server
-- cannot pack 64-bit integers), the sum of the counters in 4 bytes, then 21 counters, newest first, 2
-- bytes each, or 4 bytes for limits above 65535. The length tells which. The newest is never 0. The
-- sum is stored so that the common case reads no counter: only those that left are subtracted.
local COUNTERS = 21
local HEAD_BYTES = 12

-- The counter of this age as stored; 1 = the sub-window written last.
local function sliding_counter(ring, age)
  local format = ring.width == 2 and '>I2' or '>I4'
  return (struct.unpack(format, ring.raw, HEAD_BYTES + 1 + (age - 1) * ring.width))
end

-- Reads the ring of `key` as it stands at `now`. `shift`: sub-windows since the last write.
local function sliding_read(key, limit, window, now)
  local span = window / (COUNTERS - 1)
  -- Exact, unlike a rounded now / span.
  local index = (now - now % span) / span
  -- All fields at once: a table that grows later costs more than the rest of the script.
  local ring = {
    key = key, limit = limit, span = span, now = now, index = index,
    raw = false, width = limit > 65535 and 4 or 2, total = 0, shift = COUNTERS, ahead = false, wait = 0,
  }
  local raw = redis.call('GET', key)
  local width = raw and (#raw - HEAD_BYTES) / COUNTERS
  if width ~= 2 and width ~= 4 then return ring end
  local written, total = struct.unpack('>dI4', raw)
  local shift = index - written
  if shift < 0 then
    -- The clock went back, for example by a failover. What is stored counts as if it had just
    -- happened: never too few, and for one window at most.
    ring.ahead = true
    shift = 0
  elseif shift >= COUNTERS then
    return ring
  end
  ring.raw, ring.width, ring.shift = raw, width, shift
  for age = COUNTERS - shift + 1, COUNTERS do total = total - sliding_counter(ring, age) end
  ring.total = total
  return ring
end

-- Microseconds until the counter stored with this age is out of the sum.
local function sliding_leaves(ring, age)
  return (ring.index - ring.shift - age + 1 + COUNTERS) * ring.span - ring.now
end

-- Microseconds until `cost` fits, 0 when it fits now. Needs cost <= limit.
local function sliding_wait(ring, cost)
  local excess = ring.total + cost - ring.limit
  if excess <= 0 then return 0 end
  for age = COUNTERS - ring.shift, 1, -1 do
    excess = excess - sliding_counter(ring, age)
    if excess <= 0 then return sliding_leaves(ring, age) end
  end
end

-- Microseconds until nothing is counted any more.
local function sliding_reset(ring)
  return ring.raw and sliding_leaves(ring, 1) or 0
end

-- The first counter and the bytes of the others, as they stand at `now`.
local function sliding_counters(ring)
  local width, shift = ring.width, ring.shift
  if not ring.raw then return 0, string.rep('\0', (COUNTERS - 1) * width) end
  if shift == 0 then return sliding_counter(ring, 1), ring.raw:sub(HEAD_BYTES + 1 + width) end
  local kept = ring.raw:sub(HEAD_BYTES + 1, HEAD_BYTES + (COUNTERS - shift) * width)
  return 0, string.rep('\0', (shift - 1) * width) .. kept
end

-- Adds `cost` and dates the ring to `now`. The time to live only collects garbage: the index decides
-- what counts. The second on top keeps the key until the last counter is out even when the script was
-- slow between reading the clocks.
local function sliding_write(ring, cost)
  local first, rest = sliding_counters(ring)
  if ring.width == 2 and ring.limit > 65535 then
    ring.width = 4
    rest = rest:gsub('..', '\0\0%0')
  end
  ring.shift = 0
  ring.total = ring.total + cost
  local head = struct.pack(ring.width == 2 and '>dI4I2' or '>dI4I4', ring.index, ring.total, first + cost)
  ring.raw = head .. rest
  redis.call('SET', ring.key, ring.raw, 'PX', math.ceil(sliding_leaves(ring, 1) / 1000) + 1000)
end
