-- Takes the permits of one call in all its limits, or in none of them.
--
-- The same arithmetic as the Java class Gcra, which explains it: a key holds the time
-- until which its permits are used up, in whole microseconds and a fraction whose
-- denominator is the limit. All numbers are integers below 2^53, so doubles are exact.
--
-- KEYS: one for each limit
-- ARGV: eight for each limit: enforced (1) or in the shadow (0), limit,
--       increment whole, increment fraction, tolerance whole, tolerance fraction,
--       known to be owed at least, owed besides
-- Returns whether the call is permitted (1 or 0), and for each limit what its key owed
-- before the call: whole, fraction. One more number at the end says that keys held
-- something else; they are made keys whose permits are used up.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local permitted = 1
local reply = {permitted}
local befores, afters = {}, {}
local foreign = 0

for i = 1, #KEYS do
  local a = (i - 1) * 8
  local limit = tonumber(ARGV[a + 2])
  local tolerance, tolerance_fraction = tonumber(ARGV[a + 5]), tonumber(ARGV[a + 6])
  local known, owed = tonumber(ARGV[a + 7]), tonumber(ARGV[a + 8])

  local function exceeds(whole, fraction)
    return whole > tolerance or (whole == tolerance and fraction > tolerance_fraction)
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
  if whole < known then
    changed = true
    whole, fraction = known, 0
  end
  if owed > 0 then
    changed = true
    whole = whole + owed
  end
  if exceeds(whole, fraction) then
    changed = true
    whole, fraction = tolerance, tolerance_fraction
  end
  reply[#reply + 1] = whole
  reply[#reply + 1] = fraction
  if changed then
    befores[i] = {whole, fraction}
  end

  whole = whole + tonumber(ARGV[a + 3])
  fraction = fraction + tonumber(ARGV[a + 4])
  if fraction >= limit then
    whole, fraction = whole + 1, fraction - limit
  end
  if not exceeds(whole, fraction) then
    afters[i] = {whole, fraction}
  elseif ARGV[a + 1] == '1' then
    permitted = 0
  end
end

for i = 1, #KEYS do
  local write = permitted == 1 and afters[i] or befores[i]
  if write then
    -- Tostring would round. Expiry counts in milliseconds that may have begun already.
    redis.call('SET', KEYS[i], string.format('%.0f %.0f', now + write[1], write[2]),
        'PX', string.format('%.0f', math.floor(write[1] / 1000) + 2))
  end
end
reply[1] = permitted
if foreign > 0 then
  reply[#reply + 1] = foreign
end
return reply
