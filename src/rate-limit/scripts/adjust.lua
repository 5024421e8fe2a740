-- Changes counters without asking whether there is room, and tells how they stand afterwards.
--
-- refund: gives back what one call took, each policy only as long as that is still counted and not reset since
-- reward: gives back up to `amount` units, never more than were taken
-- penalize: takes `amount` units also beyond the limit, at most as many as a whole limit
-- block: refuses everything for `amount` microseconds
-- pause: the same, but a longer block stays
-- reset: forgets everything, blocks included; its time is kept until no refund of an earlier call is due
--
-- KEYS[...] counters: per policy, in order, its counter, followed by its block if it has one; for a refund or reset, then the times of the resets, per policy
-- ARGV[1] change (string): 'refund', 'reward', 'penalize', 'block', 'pause' or 'reset'
-- ARGV[2] amount (number): units or microseconds; for a refund, the server time of the call
-- ARGV[3] channel (string): told the identities when units were given back; '' = nobody
-- ARGV[4] identities (string): message for the channel
-- ARGV[5] resets (number): KEYS before the times of the resets
-- ARGV[...] policies (string | number): per policy: kind, cost, limit, window, param, and reset as the call to be refunded reported it (else 0); then rules as in consume
-- Reply number[]: as consume in mode 'peek' with a cost of 1
--
-- Work: as consume, twice.
--- @include "_now.lua"
local change = ARGV[1]
local amount = tonumber(ARGV[2])
local now = server_now()
local writes = true
local made_room = change == 'reset'
local at, k, place = 6, 0, tonumber(ARGV[5])
while at <= #ARGV do
  k, place = k + 1, place + 1
  local kind, cost = ARGV[at], tonumber(ARGV[at + 1])
  local limit, window, param = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local stamp = amount + tonumber(ARGV[at + 5])
  local key = KEYS[k]
  at = at + 6
  local shadow, block = false, false
  if #kind == 2 then
    kind = kind:sub(1, 1)
--- @include "_rules.lua"
  end
  local value, life = false, 0
  if change == 'refund' then
    local reset = redis.call('GET', KEYS[place])
    if reset and tonumber(reset) > amount then cost = 0 end
  end
  if change == 'reset' then
    local reach = kind == 'g' and window * param / limit or window
    redis.call('SET', KEYS[place], string.format('%.0f', now), 'PX', math.ceil((window + reach) / 1000))
    redis.call('DEL', key)
    if block then redis.call('DEL', block.key) end
  elseif change == 'block' or change == 'pause' then
    if block and (change == 'block' or now + amount > block.ends) then
      block.ends, block.length, block.level, block.refusals = now + amount, amount, math.max(block.level, 1), 0
--- @include "_block-set.lua"
    end
  elseif kind == 's' then
--- @include "_sliding-read.lua"
    local first = 0
    if shift == 0 then first = newest end
    if change == 'penalize' then
      local added = math.min(limit, first + amount) - first
      if added > 0 then
        first, total = first + added, total + added
--- @include "_sliding-write.lua"
      end
    elseif raw then
      -- Rewards come off the oldest counters, a refund off the one it was counted in.
      local owed, from, to = amount, slots - shift, 1
      if change == 'refund' then
        owed = cost
        from = (index - shift) - (amount - amount % span) / span + 1
        to = from
      end
      local counts = {}
      for age = 1, slots do counts[age] = struct.unpack(form, raw, 17 + (age - 1) * width) end
      -- What has left the window is not in the total any more.
      if from > slots - shift then from = 0 end
      for age = from, to, -1 do
        local back = math.min(owed, counts[age] or 0)
        if back > 0 then
          counts[age], owed, total = counts[age] - back, owed - back, total - back
          made_room = true
        end
      end
      local body = {}
      for age = 1, slots do
        body[age] = struct.pack(form, counts[age])
      end
      -- Written back as of its own time; `total` lost what has left since.
      for age = slots - shift + 1, slots do body[age] = string.rep('\0', width) end
      value = struct.pack('>dd', index - shift, total) .. table.concat(body)
      life = math.ceil(((index - shift + slots) * span - now) / 1000) + 1000
    end
  elseif kind == 'g' then
--- @include "_gcra-read.lua"
    local after = debt
    if change == 'penalize' then
      after = math.min(debt + amount * interval, capacity + window * 1000)
    elseif change == 'reward' then
      after = math.max(0, debt - amount * interval)
    elseif now < stamp then
      -- The bucket has not been full since; otherwise the time has given back what the call took. Behind a
      -- moment that lies ahead others may hold later ones, which they keep: then only the last one can be given
      -- back, or two would begin where there is room for one.
      local last = now + math.ceil(debt / 1000) == stamp
      local waited = (stamp - amount) * 1000 > capacity + slack + 1000
      if last or debt <= capacity + slack and not waited then after = math.max(0, debt - cost * interval) end
    end
    if after < debt then made_room = true end
    if after == 0 then
      redis.call('DEL', key)
    elseif after ~= debt then
--- @include "_gcra-write.lua"
    end
  elseif kind == 'f' then
--- @include "_fixed-read.lua"
    local count = used
    if change == 'penalize' then
      count = math.min(used + amount, 4294967295)
    elseif change == 'reward' then
      count = math.max(0, used - amount)
    elseif stamp == ends then
      count = math.max(0, used - cost)
    end
    if count < used then made_room = true end
    if count ~= used then
      value = struct.pack('>dI4', ends, count)
      life = math.ceil((ends - now) / 1000) + 1
    end
  else
--- @include "_log-read.lua"
    if change == 'penalize' then
      local entry = string.format('%.0f', now)
      for _ = 1, math.min(amount, limit) do redis.call('RPUSH', key, entry) end
      redis.call('LTRIM', key, -limit, -1)
      redis.call('PEXPIRE', key, math.ceil(window / 1000) + 1)
    elseif change == 'reward' then
      if live > 0 then made_room = true end
      redis.call('LTRIM', key, entries - live + amount, -1)
    elseif cost > 0 then
      if redis.call('LREM', key, cost, string.format('%.0f', amount)) > 0 then made_room = true end
    end
  end
  if value then redis.call('SET', key, value, 'PX', life) end
end

if made_room and ARGV[3] ~= '' then
  -- A user that may not publish has adjusted all the same; others learn of it when their memory ends.
  redis.pcall('PUBLISH', ARGV[3], ARGV[4])
end

local ahead, step, unit = 0, 6, 1
writes = false
at = 6
--- @include "_evaluate.lua"
return reply
