-- Sliding window as a ring of counters. The window is cut into `param` sub-windows aligned to the
-- epoch. At any instant it overlaps one more than that; the oldest only in part, and that one is
-- counted whole, so the sum is never less than the true number of requests in the trailing window.
--
-- Value: the index of the newest sub-window and the sum of the counters as big-endian doubles (a
-- 32-bit build of the server cannot pack 64-bit integers), then the counters, newest first, in 1 byte
-- each, 2 for limits above 255, or 4 for limits above 65535. The length tells which. The sum is stored
-- so that the common case reads no counter but the newest: only those that left are subtracted.
--
-- Gives: slots, span, index, raw (false when nothing is counted), width, form (format of a counter),
-- total, newest (the counter written last), and shift, the sub-windows since then. The counter of age
-- a, 1 = the one written last, is at byte 17 + (a - 1) * width.
local slots = param + 1
local span = window / param
-- Exact, unlike a rounded now / span.
local index = (now - now % span) / span
local raw = redis.call('GET', key)
local width, form = 0, false
local total, newest, shift = 0, 0, slots
if raw then
  width = (#raw - 16) / slots
  form = width == 1 and 'B' or width == 2 and '>I2' or width == 4 and '>I4'
end
if form then
  local written
  written, total, newest = struct.unpack(width == 1 and '>ddB' or width == 2 and '>ddI2' or '>ddI4', raw)
  shift = index - written
  if shift < 0 then
    -- The clock went back, for example by a failover. What is stored counts as if it had just
    -- happened: never too few, and for one window at most.
    shift = 0
    raw = struct.pack('>dd', index, total) .. raw:sub(17)
    if writes then
      redis.call('SET', key, raw, 'PX', math.ceil(((index + slots) * span - now) / 1000) + 1000)
    end
  end
  if shift < slots then
    for age = slots - shift + 1, slots do
      total = total - struct.unpack(form, raw, 17 + (age - 1) * width)
    end
  end
end
if shift >= slots then raw, total = false, 0 end
