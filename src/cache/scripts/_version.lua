-- Splits "deleted:expired"; a plain number is a deletion.
local function read_version(text)
  if not text then return 0, 0 end
  local plain = tonumber(text)
  if plain then return plain, 0 end
  local deleted, expired = string.match(text, '^(%d+):(%d+)$')
  return tonumber(deleted), tonumber(expired)
end
