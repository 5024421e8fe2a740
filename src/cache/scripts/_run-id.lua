-- What the server is known by; changes with every start. A user that may not run INFO gets an error instead of
-- text: then nobody can tell one server from another.
local UNKNOWN = 'unknown'

local function run_id()
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and string.match(info, 'run_id:(%w+)') or UNKNOWN
end
