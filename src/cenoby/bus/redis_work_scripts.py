"""What the work queue has Redis do in one step, in Lua.

Names, where `root` is e.g. `cenoby:0`:

    {root}:work:q:<queue>       stream of what was put; its consumer group `w` knows who has what
    {root}:work:open:<queue>    sorted set of the entries that are not done, by position
    {root}:work:tries:<queue>   hash: how often each of them was delivered
    {root}:work:later:<queue>   sorted set of those that wait for their next try, by when it is due (µs)
    {root}:work:id:<id>         there while a second envelope of that id is recognised
    {root}:work:dead:<id>       hash: a dead letter
    {root}:work:deaths, {root}:work:deaths:<queue>   sorted sets of dead letters, by when they died (µs)
    {root}:work:nudge           channel: queues that have something to be taken
    {root}:work:nudged:<queue>  there while nobody has looked since the queue was last named on that channel

An entry's id in the stream is its position: microseconds since the epoch, or one more than the last. The names are
made here and not handed over as keys, so this is for one Redis (with replicas) and not for a Redis Cluster.
"""

from __future__ import annotations

from cenoby.bus.redis_link import Script

RETENTION_SECONDS = 24 * 3600
"""How long done work can be replayed."""
_IDLE_CONSUMER_MS = 3_600_000
_NUDGE_MS = 1_000

_COMMON = f"""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local root = ARGV[1] .. ':work:'
local function key(kind, name) return root .. kind .. ':' .. name end
local function text(number) return string.format('%.0f', number) end

-- What is done and older than the retention goes; nothing that is not done ever does.
local function trim(queue)
  local first = redis.call('ZRANGE', key('open', queue), 0, 0, 'WITHSCORES')
  local oldest = now - {RETENTION_SECONDS} * 1000000
  if first[2] and tonumber(first[2]) < oldest then oldest = tonumber(first[2]) end
  redis.call('XTRIM', key('q', queue), 'MINID', '~', text(oldest) .. '-0')
end

-- All workers are told once; whoever of them has room will look, and finds what came meanwhile, too.
local function nudge(queue)
  if redis.call('SET', key('nudged', queue), '1', 'NX', 'PX', {_NUDGE_MS}) then
    redis.call('PUBLISH', root .. 'nudge', queue)
  end
end

local function finish(queue, entry)
  redis.call('XACK', key('q', queue), 'w', entry)
  redis.call('ZREM', key('open', queue), entry)
  redis.call('ZREM', key('later', queue), entry)
  redis.call('HDEL', key('tries', queue), entry)
  if redis.call('EXISTS', key('open', queue)) == 0 then
    redis.call('PEXPIRE', key('q', queue), {RETENTION_SECONDS * 1000})
  end
end

local function bury(queue, entry, id, data, tries, why)
  finish(queue, entry)
  redis.call('HSET', key('dead', id), 'queue', queue, 'data', data, 'tries', tries, 'error', why, 'died', text(now))
  redis.call('ZADD', root .. 'deaths', now, id)
  redis.call('ZADD', key('deaths', queue), now, id)
end

local function add(queue, id, data, again)
  local stream, position = key('q', queue), now
  local added = redis.pcall('XADD', stream, text(position) .. '-0', 'i', id, 'd', data, 'a', again)
  if type(added) == 'table' and added.err then
    -- Two in one microsecond, or a clock that was set back: positions increase all the same.
    local facts = redis.call('XINFO', 'STREAM', stream)
    for at = 1, #facts, 2 do
      if facts[at] == 'last-generated-id' then position = tonumber(string.match(facts[at + 1], '^%d+')) + 1 end
    end
    added = redis.call('XADD', stream, text(position) .. '-0', 'i', id, 'd', data, 'a', again)
  end
  redis.call('PERSIST', stream)
  redis.call('ZADD', key('open', queue), position, added)
  nudge(queue)
end

local function held(queue, entry, consumer)
  local pending = redis.pcall('XPENDING', key('q', queue), 'w', entry, entry, 1, consumer)
  return not pending.err and #pending == 1
end
"""

PUT = Script(
    _COMMON
    + """
if not redis.call('SET', key('id', ARGV[3]), '1', 'NX', 'PX', ARGV[5]) then return 0 end
add(ARGV[2], ARGV[3], ARGV[4], '0')
trim(ARGV[2])
return 1
"""
)
"""root, queue, id, data, milliseconds of the duplicate window: 0 where the id is known."""

TAKE = Script(
    _COMMON
    + """
local queue, me, room, wait, most = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local stream, later, tries = key('q', queue), key('later', queue), key('tries', queue)
local taken = {}
redis.call('DEL', key('nudged', queue))
if redis.call('EXISTS', stream) == 0 then return {taken, '0'} end
redis.pcall('XGROUP', 'CREATE', stream, 'w', '0')

local function take(entries)
  for _, entry in ipairs(entries or {}) do
    if entry and entry[2] and redis.call('ZSCORE', key('open', queue), entry[1]) then
      local fields = entry[2]
      local before = tonumber(redis.call('HGET', tries, entry[1]) or '0')
      if before >= most then
        bury(queue, entry[1], fields[2], fields[4], before, 'Nobody acknowledged it in time.')
      else
        redis.call('HSET', tries, entry[1], before + 1)
        taken[#taken + 1] = {entry[1], fields[4], before + 1}
      end
    elseif entry then
      finish(queue, entry[1])
    end
  end
end

if ARGV[7] == '1' then
  local known = {}
  for at = 8, #ARGV do known[ARGV[at]] = true end
  for _, pending in ipairs(redis.call('XPENDING', stream, 'w', '-', '+', 10000, me)) do
    if not known[pending[1]] and #taken < room then
      redis.call('HINCRBY', tries, pending[1], -1)
      take(redis.call('XCLAIM', stream, 'w', me, 0, pending[1]))
    end
  end
end
for _, entry in ipairs(redis.call('ZRANGEBYSCORE', later, '-inf', now, 'LIMIT', 0, room - #taken)) do
  redis.call('ZREM', later, entry)
  local claimed = redis.call('XCLAIM', stream, 'w', me, 0, entry, 'FORCE')
  if #claimed == 0 then finish(queue, entry) end
  take(claimed)
end
local cursor = '0-0'
while #taken < room do
  local claimed = redis.call('XAUTOCLAIM', stream, 'w', me, wait, cursor, 'COUNT', room - #taken)
  take(claimed[2])
  cursor = claimed[1]
  if cursor == '0-0' then break end
end
while #taken < room do
  local read = redis.call('XREADGROUP', 'GROUP', 'w', me, 'COUNT', room - #taken, 'STREAMS', stream, '>')
  if not read then break end
  take(read[1][2])
end
trim(queue)
local due = redis.call('ZRANGE', later, 0, 0, 'WITHSCORES')
return {taken, due[2] and text(math.max(tonumber(due[2]) - now, 1)) or '0'}
"""
)
"""root, queue, consumer, room, ms after which a silent consumer's work is anybody's, most deliveries, 1 after a
failure and then the entries that the consumer knows it has: others of its own were lost on their way to it.

Those come first, then what is due again, then what dead consumers held, then what is new. Gives
`[entry, data, deliveries]` of each, and in how many microseconds something is due again (0: nothing is).
"""

DONE = Script(_COMMON + "finish(ARGV[2], ARGV[3]) return 1")
"""root, queue, entry: it is done, whoever has it by now."""

FAILED = Script(
    _COMMON
    + """
local queue, entry, me, micros, undo = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
if not held(queue, entry, me) then return 0 end
if micros < 0 then
  local found = redis.call('XRANGE', key('q', queue), entry, entry)
  local tries = redis.call('HGET', key('tries', queue), entry) or '0'
  bury(queue, entry, found[1][2][2], found[1][2][4], tries, ARGV[7])
  return 1
end
redis.call('XACK', key('q', queue), 'w', entry)
redis.call('ZADD', key('later', queue), now + micros, entry)
if undo == '1' then redis.call('HINCRBY', key('tries', queue), entry, -1) end
if micros == 0 then nudge(queue) end
return 1
"""
)
"""root, queue, entry, consumer, µs until the next try or -1 for none, 1 where this was no try, the error.

0 where the consumer does not have it any more.
"""

EXTEND = Script(
    _COMMON
    + """
for i = 4, #ARGV do
  if held(ARGV[2], ARGV[i], ARGV[3]) then
    redis.call('XCLAIM', key('q', ARGV[2]), 'w', ARGV[3], 0, ARGV[i], 'JUSTID')
  end
end
return 1
"""
)
"""root, queue, consumer, entries: the consumer lives and still has those of them that nobody took over."""

LEAVE = Script(
    _COMMON
    + f"""
local stream = key('q', ARGV[2])
local consumers = redis.pcall('XINFO', 'CONSUMERS', stream, 'w')
if consumers.err then return 0 end
for _, one in ipairs(consumers) do
  local facts = {{}}
  for at = 1, #one, 2 do facts[one[at]] = one[at + 1] end
  if facts.pending == 0 and (facts.name == ARGV[3] or facts.idle > {_IDLE_CONSUMER_MS}) then
    redis.call('XGROUP', 'DELCONSUMER', stream, 'w', facts.name)
  end
end
return 1
"""
)
"""root, queue, consumer: forget the consumer, and others that have had nothing for an hour."""

RETRY = Script(
    _COMMON
    + """
local letter = redis.call('HMGET', key('dead', ARGV[2]), 'queue', 'data')
if not letter[1] then return 0 end
redis.call('DEL', key('dead', ARGV[2]))
redis.call('ZREM', root .. 'deaths', ARGV[2])
redis.call('ZREM', key('deaths', letter[1]), ARGV[2])
if ARGV[3] == '1' then add(letter[1], ARGV[2], letter[2], '1') end
return 1
"""
)
"""root, id, 1 to put it back into its queue: the dead letter is one no more; 0 where there is none."""
