-- Fixed window, from the first request (`param` 0) or aligned to the epoch, which is UTC (`param` 1).
-- Value: the end of the window in microseconds as a big-endian double, and the count in 4 bytes.
-- Gives: ends, used.
local ends = now + window
if param == 1 then ends = ends - now % window end
local used = 0
local raw = redis.call('GET', key)
if raw then
  local stored, count = struct.unpack('>dI4', raw)
  if stored > now then
    used = count
    if stored <= ends then
      ends = stored
    elseif writes then
      -- The clock went back, or the window was shortened.
      redis.call('SET', key, struct.pack('>dI4', ends, used), 'PX', math.ceil((ends - now) / 1000) + 1)
    end
  end
end
