-- Writes a block; it is kept until it has ended and is forgotten.
local rest = math.max(0, block.ends - now) + block.decay
local fields = struct.pack('>ddI2I4', block.ends, block.length, block.level, block.refusals)
redis.call('SET', block.key, fields, 'PX', math.ceil(rest / 1000) + 1)
