-- Adds revocations and tells everybody of those that are new.
-- KEYS: the revocations, by when they are over; what tells their versions apart
-- ARGV: the channel, the time before which they are over, a random name for the data,
--       then for each revocation its end and itself
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[2])
local added = 0
for i = 4, #ARGV, 2 do
	if redis.call('ZADD', KEYS[1], 'GT', 'CH', ARGV[i], ARGV[i + 1]) == 1 then
		added = added + 1
		redis.call('PUBLISH', ARGV[1], ARGV[i] .. ' ' .. ARGV[i + 1])
	end
end
if added > 0 then
	redis.call('HSETNX', KEYS[2], 'data', ARGV[3])
	redis.call('HINCRBY', KEYS[2], 'version', 1)
end
return added
