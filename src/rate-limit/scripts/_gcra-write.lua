-- The bucket with a debt of `after` nanoseconds, rounded up. Gives value and life.
local whole = math.ceil(after)
value = string.format('%.0f%03.0f', now + math.floor(whole / 1000), whole % 1000)
life = math.ceil(whole / 1000000) + 1
