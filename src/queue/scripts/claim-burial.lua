-- Takes the task of telling that a job is dead, for one worker of the fleet at a time.
-- KEYS[1] failed: sorted set of failed jobs
-- KEYS[2] job: hash of the job
-- ARGV[1] jobId (string): id of the job
-- ARGV[2] field (string): name of the field that says who tells, or that it was told
-- ARGV[3] ttlMs (number): how long the telling may take before somebody else does it; 0 says that it was told
-- Reply number: 1 when it is the caller's, 0 when it was told or somebody else tells it, -1 when the job is not dead
-- Minimum server: Redis 5.0
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return -1
end
if ARGV[3] == '0' then
  redis.call('HSET', KEYS[2], ARGV[2], 'told')
  return 1
end
local held = redis.call('HGET', KEYS[2], ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if held and (held == 'told' or tonumber(held) > now) then
  return 0
end
redis.call('HSET', KEYS[2], ARGV[2], string.format('%.0f', now + ARGV[3]))
return 1
