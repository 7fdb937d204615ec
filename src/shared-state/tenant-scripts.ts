/**
 * The limits of a tenant as they are kept in Redis. Both keys of a tenant lie in one slot of a Cluster.
 *
 *     {name}    hash: r, t = when its requests and tokens will be all there again, ms by the server's clock
 *     {name}:in sorted set: a lease for each request inside, with the time at which it ends unless it is renewed
 */

/** How long a request counts without a sign of its replica, ms. */
export const LEASE_MS = 4000;
/** Nobody has asked for so long: everything is full again in any case. */
const FORGET_MS = 3_600_000;

const NOW = `
local t = redis.call('TIME')
local now = t[1] * 1000 + t[2] / 1000
`;

/**
 * Keys: hash, set. Arguments: requests per second, burst, tokens per minute (0 = no limit), tokens, most at a time, lease.
 * Answers what refuses, or `entered`, and when it may be worth another try, ms; -1 = never.
 */
export const ENTER = `${NOW}
local rate, burst, perMinute = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tokens, most = tonumber(ARGV[4]), tonumber(ARGV[5])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('(%.3f', now))
if redis.call('ZCARD', KEYS[2]) >= most then return {'concurrency', 1000} end
local at = redis.call('HMGET', KEYS[1], 'r', 't')
local requestsFull = math.max(tonumber(at[1] or '') or 0, now)
local left = burst - (requestsFull - now) / 1000 * rate
if left + 1e-6 < 1 then return {'requests', math.ceil((1 - left) / rate * 1000)} end
local tokensFull = math.max(tonumber(at[2] or '') or 0, now)
if perMinute > 0 and tokens > 0 then
  local there = perMinute - (tokensFull - now) / 60000 * perMinute
  if tokens > perMinute then return {'tokens', -1} end
  if there + 1e-6 < tokens then return {'tokens', math.ceil((tokens - there) / perMinute * 60000)} end
  tokensFull = tokensFull + tokens / perMinute * 60000
end
redis.call('HSET', KEYS[1], 'r', string.format('%.3f', requestsFull + 1000 / rate), 't', string.format('%.3f', tokensFull))
redis.call('PEXPIRE', KEYS[1], ${FORGET_MS})
redis.call('ZADD', KEYS[2], string.format('%.3f', now + ${LEASE_MS}), ARGV[6])
redis.call('PEXPIRE', KEYS[2], ${2 * LEASE_MS})
return {'entered', 0}
`;

/**
 * Keys: hash, set. Arguments: tokens per minute (0 = no limit), tokens that were spent beyond what was reserved (below 0: given back), number of
 * leases that have ended, these, and those that go on.
 */
export const SETTLE = `${NOW}
local perMinute, more, ended = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if perMinute > 0 and more ~= 0 then
  local full = math.max(tonumber(redis.call('HGET', KEYS[1], 't') or '') or 0, now)
  redis.call('HSET', KEYS[1], 't', string.format('%.3f', math.max(now, full + more / perMinute * 60000)))
  redis.call('PEXPIRE', KEYS[1], ${FORGET_MS})
end
for i = 4, 3 + ended do redis.call('ZREM', KEYS[2], ARGV[i]) end
for i = 4 + ended, #ARGV do redis.call('ZADD', KEYS[2], string.format('%.3f', now + ${LEASE_MS}), ARGV[i]) end
if #ARGV > 3 + ended then redis.call('PEXPIRE', KEYS[2], ${2 * LEASE_MS}) end
return 0
`;
