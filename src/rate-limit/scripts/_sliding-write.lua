-- The ring as it stands at `now`, with `first` in the newest counter and `total` as the sum. Gives
-- value and life. The time to live only collects garbage: the index decides what counts. The second
-- on top keeps the key until the last counter is out even when clock and expiry differ a little.
local needed = limit > 65535 and 4 or limit > 255 and 2 or 1
local rest
if not raw then
  width = needed
  rest = string.rep('\0', param * width)
elseif shift == 0 then
  rest = raw:sub(17 + width)
else
  rest = string.rep('\0', (shift - 1) * width) .. raw:sub(17, 16 + (slots - shift) * width)
end
if width < needed then
  rest = rest:gsub(string.rep('.', width), string.rep('\0', needed - width) .. '%0')
  width = needed
end
value = struct.pack(width == 1 and '>ddB' or width == 2 and '>ddI2' or '>ddI4', index, total, first) .. rest
local ends = (index + slots) * span - now
life = (ends + -ends % 1000) / 1000 + 1000
