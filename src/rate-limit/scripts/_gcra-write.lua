-- The bucket with a debt of `after` nanoseconds, rounded up. Gives value and life.
local whole = after + -after % 1
local below = whole % 1000
value = string.format('%.0f%03.0f', now + (whole - below) / 1000, below)
life = (whole + -whole % 1000000) / 1000000 + 1
