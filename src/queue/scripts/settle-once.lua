-- Marks a claim as queued and drops the copy of the job. Its time to live stays.
-- KEYS[1] once: hash of the claim
-- ARGV[1] jobId (string): id of the job that was queued
-- Reply number: 1 when the claim was this job's, else 0
-- Minimum server: Redis 4.0
if redis.call('HGET', KEYS[1], 'jobId') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'state', 'queued')
redis.call('HDEL', KEYS[1], 'data')
return 1
