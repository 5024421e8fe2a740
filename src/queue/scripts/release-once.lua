-- Gives a claim back, so that the same notification may be sent again.
-- KEYS[1] once: hash of the claim
-- ARGV[1] jobId (string): id of the job that failed for good
-- Reply number: 1 when the claim was this job's, else 0
-- Minimum server: Redis 4.0
if redis.call('HGET', KEYS[1], 'jobId') ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
