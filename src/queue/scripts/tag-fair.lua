-- Gives a job that was just added its place between the tenants of a queue: start-time fair queueing.
-- The tag becomes the priority of the job. A tenant's tags rise by 1 / weight per job and never fall
-- behind those of the jobs that wait now, so who comes late does not wait for the backlog of others, and
-- who has a backlog cannot save up turns.
-- KEYS[1] prioritized: sorted set of the waiting jobs; score = priority * 2^32 + order of arrival
-- KEYS[2] fair: sorted set of the last tag of each tenant that may still count, the highest tag and the virtual time
-- KEYS[3] job: hash of the job
-- ARGV[1] jobId (string): id of the job
-- ARGV[2] tenantId (string): tenant it belongs to
-- ARGV[3] step (number): 1 / weight of the tenant
-- ARGV[4] placeholder (number): priority it was added with; another one means that it has its tag
-- ARGV[5] guard (number): highest tag that is given out
-- Reply number: the tag; 0 when there was nothing to do; -1 when tags have run out and the job waits at the end
--
-- Work: logarithmic in the waiting jobs, and in the tenants that wait. Each tenant is forgotten once. Minimum server: Redis 6.2
-- Algorithm: P. Goyal, H. Vin, H. Cheng, "Start-time Fair Queueing", IEEE/ACM ToN 5(5), 1997
local placeholder = tonumber(ARGV[4])
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
-- A job that runs already has its priority in its hash only.
local current = score and math.floor(tonumber(score) / 4294967296)
  or tonumber(redis.call('HGET', KEYS[3], 'priority') or '0')
if current ~= placeholder then
  return 0
end
local field = 't:' .. ARGV[2]
local tags = redis.call('ZMSCORE', KEYS[2], 'virtual', 'top', field)
local virtual, top, last = tonumber(tags[1] or '0'), tonumber(tags[2] or '0'), tonumber(tags[3] or '0')
if not score then
  -- It took no turn from anybody; what it gets is for the case that it is tried again.
  local priority = math.min(math.max(1, math.ceil(math.max(virtual, last))), tonumber(ARGV[5]))
  redis.call('HSET', KEYS[3], 'priority', priority)
  return priority
end
local before = virtual
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if head[1] == ARGV[1] then
  -- Nobody else waits: turns of the past count no more. Tags start over only when they have grown large,
  -- so that a job that was retried does not come back behind everybody.
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
if virtual > before then
  -- A tenant whose last tag is behind the virtual time is like one that was never here.
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', virtual)
end
redis.call('ZADD', KEYS[2], virtual, 'virtual', math.max(top, tag), 'top', tag, field)
local priority = math.max(1, math.ceil(tag))
redis.call('HSET', KEYS[3], 'priority', priority)
redis.call('ZADD', KEYS[1], 'XX', string.format('%.0f', tonumber(score) + (priority - placeholder) * 4294967296), ARGV[1])
return priority
