-- Longest life of a load: what it brings after that is refused, so that invalidations can be forgotten.
local LOAD_US = 3600000000
