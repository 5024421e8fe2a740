-- Rules of a policy, after its five arguments: shadow (0 | 1), refusals before a block (0 = never
-- blocks), microseconds until a block is forgotten, number of lengths, lengths in microseconds. A
-- policy that blocks has a second key. Its value: end and length of the block in microseconds as
-- big-endian doubles, how many blocks came before, and how many refusals since.
shadow = ARGV[at] == '1'
local after, lengths = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 3])
if after > 0 then
  k = k + 1
  block = { key = KEYS[k], after = after, decay = tonumber(ARGV[at + 2]), first = at + 3, lengths = lengths, ends = 0, length = 0, level = 0, refusals = 0 }
  local raw = redis.call('GET', block.key)
  if raw then
    block.ends, block.length, block.level, block.refusals = struct.unpack('>ddI2I4', raw)
    if block.ends > now + block.length then
      -- The clock went back.
      block.ends = now + block.length
      if writes then
--- @include "_block-set.lua"
      end
    end
  end
end
at = at + 4 + lengths
