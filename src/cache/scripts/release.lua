-- Gives the right to load back without a value, for each key, and wakes those who wait.
--
-- KEYS[...] leases: leases of the load
-- ARGV[1] token (string): of the load
-- ARGV[2] after ('free' | 'unkept' | number): what holds then, as `give_back` says
-- ARGV[3] wake (string): channel on which waiters are woken
-- ARGV[...] names (string): what to wake, for each lease
-- Reply number: leases that were not lost before
--- @include "_give-back.lua"

local held = 0
for i, lease in ipairs(KEYS) do
  if give_back(lease, ARGV[1], ARGV[2], ARGV[3], ARGV[i + 3]) then held = held + 1 end
end
return held
