-- State of one bucket, a hash:
--   e       birth: entries stamped before it were written under a state that is lost, and miss
--   r       run id of the server the birth belongs to, or "unknown"
--   v       version of the last invalidation
--   w       no stamp above it was ever given out, so a clock that goes back cannot hide one
--   k       longest life of an entry so far, in microseconds: older invalidations are forgotten, but none
--           that a running load may still be compared with
--   *       version below which everything is deleted, or "deleted:expired"
--   t:<tag> the same for the entries with a tag
-- Stamps and versions are microseconds of the server's clock, made to only ever rise.
local function whole(number)
  return string.format('%.0f', number)
end
