-- Notes that a dead job is about to be put back: it waits from now on, may lose its worker as often as a new one,
-- and when it dies again that is told again.
-- KEYS[1] failed: sorted set of failed jobs
-- KEYS[2] job: hash of the job
-- ARGV[1] jobId (string): id of the job
-- ARGV[2] since (string): name of the field for the time
-- ARGV[3] putOff (string): name of the field for the first time it was put off
-- ARGV[4] told (string): name of the field that says that its death was told
-- Reply number: 1 when it is dead, else 0
-- Minimum server: Redis 5.0
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return 0
end
local clock = redis.call('TIME')
redis.call('HSET', KEYS[2], ARGV[2], clock[1] * 1000 + math.floor(clock[2] / 1000))
redis.call('HDEL', KEYS[2], 'stc', ARGV[3], ARGV[4])
return 1
