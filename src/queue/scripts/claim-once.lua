-- Claims a deduplication key for one job, or tells which job holds it.
-- The claim carries the job until it is known to be queued, so that a later caller can finish what
-- a crashed one began.
-- KEYS[1] once: hash of the claim
-- ARGV[1] jobId (string): id of the job the caller wants to add
-- ARGV[2] queue (string): queue it goes to
-- ARGV[3] jobName (string): name of the job
-- ARGV[4] data (string): job data as JSON
-- ARGV[5] ttlMs (number): deduplication window in milliseconds
-- ARGV[6] onFinalFailure (string): what becomes of the claim when the job fails for good
-- Reply readonly (string | null)[]: empty when claimed now; else jobId, state, queue, jobName, data, onFinalFailure of the holder
-- Minimum server: Redis 4.0
local held = redis.call('HMGET', KEYS[1], 'jobId', 'state', 'queue', 'jobName', 'data', 'onFinalFailure')
if held[1] then
  return held
end
redis.call('HSET', KEYS[1], 'jobId', ARGV[1], 'state', 'claimed', 'queue', ARGV[2], 'jobName', ARGV[3], 'data', ARGV[4], 'onFinalFailure', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {}
