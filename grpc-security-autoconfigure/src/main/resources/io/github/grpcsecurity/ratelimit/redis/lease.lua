-- Takes permits in advance, for each key what it has, and gives unused ones back.
--
-- The same arithmetic as the Java records LeasablePermits.Draw and Gcra, on the same keys
-- as gcra.lua. All numbers are integers below 2^53, so doubles are exact: no more than
-- a million permits are taken at once.
--
-- KEYS: one for each limit
-- ARGV: eleven for each limit: limit, price of one permit whole and fraction, tolerance
--       whole and fraction, least, must, want, give back, known to be owed at least,
--       owed besides
-- Returns for each limit how many permits were granted, and what its key owes after
-- that: whole, fraction. One more number at the end says that keys held something else;
-- they are made keys whose permits are used up.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local reply = {}
local foreign = 0

for i = 1, #KEYS do
  local a = (i - 1) * 11
  local limit = tonumber(ARGV[a + 1])
  local price, price_fraction = tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
  local tolerance, tolerance_fraction = tonumber(ARGV[a + 4]), tonumber(ARGV[a + 5])
  local least, must, want = tonumber(ARGV[a + 6]), tonumber(ARGV[a + 7]), tonumber(ARGV[a + 8])
  local back = tonumber(ARGV[a + 9])
  local known, owed = tonumber(ARGV[a + 10]), tonumber(ARGV[a + 11])

  local function exceeds(whole, fraction)
    return whole > tolerance or (whole == tolerance and fraction > tolerance_fraction)
  end

  -- What so many permits add: whole, fraction
  local function interval(permits)
    local sum = permits * price_fraction
    local rest = math.fmod(sum, limit)
    return permits * price + (sum - rest) / limit, rest
  end

  local whole, fraction = 0, 0
  local stored = redis.pcall('GET', KEYS[i])
  if type(stored) == 'table' and not string.find(stored.err, 'WRONGTYPE', 1, true) then
    return stored
  end
  local until_whole, until_fraction
  if type(stored) == 'string' then
    until_whole, until_fraction = string.match(stored, '^(%d+) (%d+)$')
  end
  local changed = false
  if stored and not until_whole then
    foreign = foreign + 1
    changed = true
    whole, fraction = tolerance, tolerance_fraction
  elseif stored then
    whole = tonumber(until_whole) - now
    fraction = math.min(tonumber(until_fraction), limit - 1)
    if whole < 0 then
      whole, fraction = 0, 0
    end
  end
  local before, before_fraction = whole, fraction

  if whole < known then
    whole, fraction = known, 0
  end
  whole = whole + owed
  if exceeds(whole, fraction) then
    whole, fraction = tolerance, tolerance_fraction
  end

  if back > 0 then
    local back_whole, back_fraction = interval(back)
    whole, fraction = whole - back_whole, fraction - back_fraction
    if fraction < 0 then
      whole, fraction = whole - 1, fraction + limit
    end
    if whole < 0 then
      whole, fraction = 0, 0
    end
  end

  local function after(permits)
    local sum, sum_fraction = interval(permits)
    sum, sum_fraction = whole + sum, fraction + sum_fraction
    if sum_fraction >= limit then
      sum, sum_fraction = sum + 1, sum_fraction - limit
    end
    return sum, sum_fraction
  end

  -- A quotient of doubles may be off by one
  local free = (tolerance - whole + (tolerance_fraction - fraction) / limit) / (price + price_fraction / limit)
  free = math.max(math.min(math.floor(free), 1000000), 0)
  while free > 0 and exceeds(after(free)) do
    free = free - 1
  end
  while free < 1000000 and not exceeds(after(free + 1)) do
    free = free + 1
  end

  local granted = 0
  if free >= least then
    granted = math.min(free, math.max(must, math.min(want, math.floor(free / 2))))
  end
  whole, fraction = after(granted)

  if changed or whole ~= before or fraction ~= before_fraction then
    -- Tostring would round. Expiry counts in milliseconds that may have begun already.
    redis.call('SET', KEYS[i], string.format('%.0f %.0f', now + whole, fraction),
        'PX', string.format('%.0f', math.floor(whole / 1000) + 2))
  end
  reply[#reply + 1] = granted
  reply[#reply + 1] = whole
  reply[#reply + 1] = fraction
end

if foreign > 0 then
  reply[#reply + 1] = foreign
end
return reply
