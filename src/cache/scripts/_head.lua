-- An entry: "r3", stamp, end of freshness and end of life (doubles, microseconds), a random mark (4 bytes),
-- flags, number of tags, shape version (3), load time (5), length of the tags (3), the tags (2 bytes of
-- length and text each), the rest. What stands before the flags tells two writings apart. From the mark up to
-- the value a byte carries 7 bits of a number, the highest first: it is text as far as clients are concerned.
local HEAD = 'r3'

local function entry_head(stamp, soft, hard)
  return HEAD .. struct.pack('<ddd', stamp, soft, hard)
end
