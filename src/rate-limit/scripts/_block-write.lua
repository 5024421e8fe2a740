-- One refusal more; enough of them begin a block, each longer than the one before.
block.refusals = block.refusals + 1
if block.refusals >= block.after then
  block.level = math.min(block.level + 1, block.lengths)
  block.refusals = 0
  local length = tonumber(ARGV[block.first + block.level])
  block.ends, block.length = now + length, length
  reply[place], reply[place + 1], reply[place + 2] = -1, math.max(reset, length), math.max(wait, length)
end
--- @include "_block-set.lua"
