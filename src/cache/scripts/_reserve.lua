-- Stamps are reserved ahead, so that not every write has to record its own: versions, and stamps above them, are
-- ahead of the clock by that much.
local RESERVE = 100000
-- Where the state is lost, no stamp that was given out before is above the clock by as much.
local BIRTH_AHEAD = RESERVE + 1000
