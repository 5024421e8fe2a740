--- @include "_reserve.lua"

-- A version above every stamp and version given out before: `last` and `reserved` are "v" and "w" of the state.
local function next_version(last, reserved, now)
  if not last and not reserved then return now + BIRTH_AHEAD end
  return math.max(now, tonumber(last or '0'), tonumber(reserved or '0')) + 1
end
