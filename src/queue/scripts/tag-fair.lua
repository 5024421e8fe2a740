-- Gives a job that was just added its place between the tenants of a queue: start-time fair queueing.
-- The tag becomes the priority of the job. A tenant's tags rise by 1 / weight per job and never fall
-- behind those of the jobs that wait now, so who comes late does not wait for the backlog of others, and
-- who has a backlog cannot save up turns.
-- KEYS[1] prioritized: sorted set of the waiting jobs; score = priority * 2^32 + order of arrival
-- KEYS[2] fair: hash with the last tag of each tenant, the highest tag and the virtual time
-- KEYS[3] job: hash of the job
-- ARGV[1] jobId (string): id of the job
-- ARGV[2] tenantId (string): tenant it belongs to
-- ARGV[3] step (number): 1 / weight of the tenant
-- ARGV[4] placeholder (number): priority it was added with; another one means that it has its tag
-- ARGV[5] guard (number): highest tag that is given out
-- Reply number: the tag; 0 when there was nothing to do; -1 when tags have run out and the job waits at the end
--
-- Work: constant, apart from the logarithmic sorted set. Minimum server: Redis 5.0
-- Algorithm: P. Goyal, H. Vin, H. Cheng, "Start-time Fair Queueing", IEEE/ACM ToN 5(5), 1997
local placeholder = tonumber(ARGV[4])
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
-- A job that is delayed, or runs already, has its priority in its hash only.
local current = score and math.floor(tonumber(score) / 4294967296)
  or tonumber(redis.call('HGET', KEYS[3], 'priority') or '0')
if current ~= placeholder then
  return 0
end
local field = 't:' .. ARGV[2]
local state = redis.call('HMGET', KEYS[2], 'virtual', 'top', field)
local virtual, top, last = tonumber(state[1] or '0'), tonumber(state[2] or '0'), tonumber(state[3] or '0')
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if not head[1] or head[1] == ARGV[1] then
  -- Nobody else waits: turns of the past count no more. Tags start over only when they have grown large,
  -- so that a job that was delayed or retried does not come back behind everybody.
  redis.call('DEL', KEYS[2])
  virtual = top > 1000000 and 0 or top
  last, top = 0, virtual
else
  local serving = math.floor(tonumber(head[2]) / 4294967296)
  if serving < placeholder and serving > virtual then
    virtual = serving
  end
end
local tag = math.max(virtual, last) + tonumber(ARGV[3])
if tag > tonumber(ARGV[5]) then
  return -1
end
redis.call('HSET', KEYS[2], 'virtual', virtual, 'top', math.max(top, tag), field, tag)
local priority = math.max(1, math.ceil(tag))
redis.call('HSET', KEYS[3], 'priority', priority)
if score then
  redis.call('ZADD', KEYS[1], 'XX', string.format('%.0f', tonumber(score) + (priority - placeholder) * 4294967296), ARGV[1])
end
return priority
