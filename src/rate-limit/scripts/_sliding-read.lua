-- Sliding window as a ring of counters. The window is cut into `param` sub-windows aligned to the
-- epoch. At any instant it overlaps one more than that; the oldest only in part, and that one is
-- counted whole, so the sum is never less than the true number of requests in the trailing window.
--
-- Value: the index of the newest sub-window and the sum of the counters as big-endian doubles (a
-- 32-bit build of the server cannot pack 64-bit integers), then the counters, newest first, in 1 byte
-- each, 2 for limits above 255, or 4 for limits above 65535. The length tells which. The sum is stored
-- so that the common case reads no counter: only those that left are subtracted.
--
-- Gives: slots, span, index, raw (false when nothing is counted), width, total, and shift, the
-- sub-windows since the last write.
local slots = param + 1
local span = window / param
-- Exact, unlike a rounded now / span.
local index = (now - now % span) / span
local raw = redis.call('GET', key)
local width = raw and (#raw - 16) / slots
local total, shift = 0, slots
-- The counter of this age as stored; 1 = the sub-window written last.
local function counter(age)
  if width == 1 then return raw:byte(16 + age) end
  if width == 4 then return (struct.unpack('>I4', raw, 13 + 4 * age)) end
  local high, low = raw:byte(15 + 2 * age, 16 + 2 * age)
  return high * 256 + low
end
if width == 1 or width == 2 or width == 4 then
  local written, sum = struct.unpack('>dd', raw)
  shift = index - written
  if shift < 0 then
    -- The clock went back, for example by a failover. What is stored counts as if it had just
    -- happened: never too few, and for one window at most.
    shift = 0
    raw = struct.pack('>dd', index, sum) .. raw:sub(17)
    if writes then redis.call('SET', key, raw, 'PX', math.ceil((index + slots) * span / 1000 - now / 1000) + 1000) end
  end
  if shift < slots then
    total = sum
    for age = slots - shift + 1, slots do total = total - counter(age) end
  end
end
if shift >= slots then raw = false end
